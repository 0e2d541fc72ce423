// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/file.h"
#include "models/io/text.h"

/// What a file is that is not what it should be.
namespace pollard::models::io {
namespace {

bool looks_like_html(std::string_view head) {
  const auto first = head.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || head[first] != '<') return false;
  std::string lower(head.substr(first, 64));
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower.starts_with("<!doctype") || lower.starts_with("<html") || lower.starts_with("<?xml") ||
         lower.starts_with("<head");
}

bool looks_like_text(std::string_view head) {
  const auto tail = head.size() > 3 ? head.size() - 3 : 0;  // a sequence may be cut at the end of the head
  const auto invalid = first_invalid_utf8(head);
  if (invalid != std::string_view::npos && invalid < tail) return false;
  return std::none_of(head.begin(), head.end(), [](unsigned char c) {
    return c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1b;
  });
}

struct Magic {
  std::string_view bytes;
  std::string_view looks_like;
  std::string_view help;
};
using namespace std::string_view_literals;
constexpr std::array<Magic, 12> kMagics{{
    {"version https://git-lfs"sv, "a Git-LFS pointer, not the file it stands for"sv, "run: git lfs pull"sv},
    {"PK\x03\x04"sv, "a zip archive"sv, ""sv},
    {"\x1f\x8b"sv, "a gzip archive"sv, "unpack it first: gunzip"sv},
    {"7z\xbc\xaf\x27\x1c"sv, "a 7z archive"sv, "unpack it first: 7z x"sv},
    {"BZh"sv, "a bzip2 archive"sv, "unpack it first: bunzip2"sv},
    {"\xfd"
     "7zXZ"sv,
     "an xz archive"sv, "unpack it first: unxz"sv},
    {"\x28\xb5\x2f\xfd"sv, "a zstd archive"sv, "unpack it first: unzstd"sv},
    {"GGUF"sv, "a GGUF file"sv, "GGUF weights cannot be pruned; take the model's safetensors files"sv},
    {"\x89HDF\r\n\x1a\n"sv, "an HDF5 (Keras) file"sv, "convert it to safetensors in Python first"sv},
    {"\x93NUMPY"sv, "a NumPy array"sv, "save the state dict with safetensors.torch.save_file"sv},
    {"\x80\x02"sv, "a Python pickle (a PyTorch file from before 1.6)"sv, ""sv},
    {"%PDF"sv, "a PDF document"sv, ""sv},
}};

}  // namespace

Resemblance recognise(std::span<const std::byte> bytes) {
  const std::string_view head = as_text(bytes);
  if (head.empty()) return {"an empty file", "download or save it again"};
  for (const Magic& magic : kMagics)
    if (head.starts_with(magic.bytes)) return {std::string(magic.looks_like), std::string(magic.help)};
  if (looks_like_html(head))
    return {"an HTML page", "the download returned a web page (a log-in?): fetch the file itself"};
  if (head.size() > 262 && head.substr(257, 5) == "ustar")
    return {"a tar archive", "unpack it first: tar xf"};
  if (head.size() < 8)
    return {"a file of only " + std::to_string(head.size()) + " bytes", "download it again"};
  if (looks_like_text(head))
    return {"text: " + in_quotes(head.substr(0, std::min(head.find('\n'), 40UL))), ""};
  return {"unknown binary data", ""};
}

void reject_unrecognised(const ByteSource& source, const std::string& expected) {
  const auto head = source.read(0, std::min<std::uint64_t>(source.size(), 512));
  const Resemblance resemblance = recognise(head);
  throw UserError({.code = "E0303",
                   .exit = Exit::BadFile,
                   .subject = source.name(),
                   .message = "not " + expected + "; it looks like " + resemblance.looks_like,
                   .where = "byte offset 0",
                   .help = resemblance.help});
}

}  // namespace pollard::models::io
