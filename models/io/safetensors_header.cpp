// SPDX-License-Identifier: Apache-2.0
#include "models/io/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/safetensors_json.h"
#include "models/io/tensor_limits.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kLongestHeader = 100'000'000;  // the format's own limit

[[noreturn]] void reject(
    const ByteSource& source, std::string code, std::string message, std::string where,
    std::string help = "compare its SHA-256 with the publisher's, or download it again") {
  throw UserError({.code = std::move(code),
                   .exit = Exit::BadFile,
                   .subject = source.name(),
                   .message = std::move(message),
                   .where = std::move(where),
                   .why = "nothing was loaded",
                   .help = std::move(help)});
}

std::string at_byte(std::uint64_t offset) { return "byte offset " + std::to_string(offset); }

std::uint64_t read_length(const ByteSource& source) {
  if (source.size() < kLengthBytes) reject_unrecognised(source, "a safetensors file");
  const auto length = load_little<std::uint64_t>(source.read(0, kLengthBytes));
  if (length > kLongestHeader) {
    const auto head = source.read(0, std::min<std::uint64_t>(source.size(), 512));
    if (recognise(head).looks_like != "unknown binary data")
      reject_unrecognised(source, "a safetensors file");
    reject(source, "E0310",
           "a header of " + std::to_string(length) + " bytes is announced; at most " +
               std::to_string(kLongestHeader) + " are allowed",
           at_byte(0));
  }
  if (length < 2)
    reject(source, "E0310", "a header of " + std::to_string(length) + " bytes is announced", at_byte(0));
  if (!fits(kLengthBytes, length, source.size()))
    reject(source, "E0310",
           "the header of " + std::to_string(length) + " bytes passes the end of the file (" +
               std::to_string(source.size()) + " bytes): incomplete download?",
           at_byte(0));
  return length;
}

/// The header's text without its padding.
std::string_view trimmed(const ByteSource& source, std::string_view text) {
  if (text.front() != '{')
    reject(source, "E0311",
           text.starts_with("\xEF\xBB\xBF") ? "the header begins with a byte-order mark"
                                            : "the header does not begin with '{'",
           at_byte(8));
  const std::size_t last = text.find_last_not_of(' ');
  if (text[last] != '}' || text.find('\0') != std::string_view::npos) {
    const std::size_t at = std::min(text.find('\0'), last);
    if (text[at] == '\0' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r')
      reject(source, "E0311", "the header is padded with something else than spaces",
             at_byte(kLengthBytes + at));
  }
  return text.substr(0, last + 1);
}

void check_name(const ByteSource& source, const RawTensor& raw) {
  std::string problem;
  if (raw.name.empty()) problem = "a tensor has an empty name";
  if (raw.name.size() > kLongestName)
    problem = "a tensor's name has " + std::to_string(raw.name.size()) + " bytes; at most " +
              std::to_string(kLongestName) + " are allowed";
  if (has_control_characters(raw.name))
    problem = "tensor name " + in_quotes(raw.name) + " has control characters";
  if (!problem.empty()) reject(source, "E0315", problem, at_byte(raw.position));
}

TensorInfo check_tensor(const ByteSource& source, RawTensor& raw, std::uint64_t data_start) {
  check_name(source, raw);
  const auto dtype = safetensors_dtype(raw.dtype);
  if (!dtype)
    throw UserError(
        {.code = "E0421",
         .exit = Exit::Unsupported,
         .subject = source.name(),
         .message = "tensor " + in_quotes(raw.name) + " has the element type " + in_quotes(raw.dtype),
         .where = at_byte(raw.position),
         .why = "known are " + safetensors_dtype_list(),
         .help = "convert the tensor to one of these in Python"});
  std::string problem;
  const auto bytes = tensor_bytes(raw.shape, *dtype, problem);
  const std::string place = "tensor " + in_quotes(raw.name) + ", " + at_byte(raw.position);
  if (!bytes) reject(source, "E0314", problem, place);
  const std::uint64_t begin = raw.offsets[0];
  const std::uint64_t end = raw.offsets[1];
  if (end < begin)
    reject(source, "E0313", "the data of tensor " + in_quotes(raw.name) + " ends before it begins", place);
  if (end - begin != *bytes)
    reject(source, "E0314",
           "shape and element type need " + std::to_string(*bytes) + " bytes, data_offsets give " +
               std::to_string(end - begin),
           place);
  if (!checked_add(data_start, end))
    reject(source, "E0313", "the data of tensor " + in_quotes(raw.name) + " lies past any file's end", place);
  return {.name = std::move(raw.name),
          .dtype = *dtype,
          .shape = {raw.shape.begin(), raw.shape.end()},
          .offset = data_start + begin,
          .bytes = *bytes};
}

/// The tensors, sorted, must follow each other from the first byte of data to the last of the file.
void check_tiling(const ByteSource& source, const std::vector<TensorInfo>& tensors,
                  std::uint64_t data_start) {
  std::uint64_t expected = data_start;
  std::string before = "the header";
  for (const TensorInfo& tensor : tensors) {
    if (tensor.offset != expected) {
      const char* what = tensor.offset > expected ? "unused bytes lie between " : "the data overlaps of ";
      reject(source, "E0313", what + before + " and tensor " + in_quotes(tensor.name), at_byte(expected));
    }
    expected += tensor.bytes;
    before = "tensor " + in_quotes(tensor.name);
  }
  if (expected > source.size())
    reject(source, "E0313",
           "the file ends " + std::to_string(expected - source.size()) + " bytes before the end of " +
               before + ": incomplete download?",
           at_byte(source.size()));
  if (expected < source.size())
    reject(source, "E0313", std::to_string(source.size() - expected) + " bytes follow the end of " + before,
           at_byte(expected));
}

}  // namespace

SafetensorsHeader read_safetensors_header(const ByteSource& source, bool lenient) {
  const std::uint64_t length = read_length(source);
  std::string text(static_cast<std::size_t>(length), '\0');
  source.read_at(kLengthBytes, std::as_writable_bytes(std::span(text)));
  RawHeader raw = parse_safetensors_json(trimmed(source, text), source.name(), kLengthBytes, lenient);

  SafetensorsHeader header;
  header.metadata = std::move(raw.metadata);
  header.tensors.reserve(raw.tensors.size());
  const std::uint64_t data_start = kLengthBytes + length;
  for (RawTensor& tensor : raw.tensors) header.tensors.push_back(check_tensor(source, tensor, data_start));
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
  });
  check_tiling(source, header.tensors, data_start);
  return header;
}

bool plausible_safetensors(std::span<const std::byte> head) {
  return head.size() >= kLengthBytes && load_little<std::uint64_t>(head) <= kLongestHeader;
}

}  // namespace pollard::models::io
