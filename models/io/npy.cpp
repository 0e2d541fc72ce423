// SPDX-License-Identifier: Apache-2.0
#include "models/io/npy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "graph/error.h"
#include "kernels/executor.h"
#include "models/io/array_error.h"
#include "models/io/bytes.h"
#include "models/io/inflate.h"
#include "models/io/memory.h"
#include "models/io/tensor_limits.h"
#include "models/io/tensor_memory.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

constexpr std::uint64_t kLimit = std::uint64_t{1} << 32;

[[noreturn]] void refuse(const std::string& name, const std::string& message) {
  throw array_error(name, message,
                    "numpy.savez, safetensors and IDX files are read; numbers only, little-endian");
}

/// The text after a key of the header's Python dict: "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }".
std::string_view after(std::string_view header, std::string_view key, const std::string& name) {
  const std::size_t at = header.find("'" + std::string(key) + "':");
  if (at == std::string_view::npos) refuse(name, "its header has no " + std::string(key));
  header.remove_prefix(at + key.size() + 3);
  header.remove_prefix(std::min(header.size(), header.find_first_not_of(' ')));
  return header;
}

at::ScalarType type_of(std::string_view code, const std::string& name) {
  static constexpr std::array<std::pair<std::string_view, at::ScalarType>, 12> kTypes{{{"|b1", at::kBool},
                                                                                       {"|u1", at::kByte},
                                                                                       {"|i1", at::kChar},
                                                                                       {"<i2", at::kShort},
                                                                                       {"<i4", at::kInt},
                                                                                       {"<i8", at::kLong},
                                                                                       {"<f2", at::kHalf},
                                                                                       {"<f4", at::kFloat},
                                                                                       {"<f8", at::kDouble},
                                                                                       {"<u2", at::kUInt16},
                                                                                       {"<u4", at::kUInt32},
                                                                                       {"<u8", at::kUInt64}}};
  for (const auto& [known, type] : kTypes)
    if (known == code) return type;
  refuse(name, "its numbers are \"" + std::string(code.substr(0, 16)) + "\"");
}

std::vector<std::int64_t> shape_of(std::string_view text, const std::string& name) {
  const std::size_t close = text.find(')');
  if (text.empty() || text[0] != '(' || close == std::string_view::npos)
    refuse(name, "its shape does not read");
  text = text.substr(1, close - 1);
  std::vector<std::int64_t> out;
  while (!text.empty()) {
    text.remove_prefix(std::min(text.size(), text.find_first_not_of(" ,")));
    if (text.empty()) break;
    std::int64_t length = -1;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), length);
    if (end.ec != std::errc() || length < 0 || out.size() == 16) refuse(name, "its shape does not read");
    out.push_back(length);
    text.remove_prefix(static_cast<std::size_t>(end.ptr - text.data()));
  }
  return out;
}

std::uint64_t bytes_of(const std::vector<std::int64_t>& shape, at::ScalarType type, const std::string& name) {
  std::string problem;
  const auto bytes = tensor_bytes(std::vector<std::uint64_t>(shape.begin(), shape.end()),
                                  kernels::from_scalar_type(type), problem);
  if (!bytes) refuse(name, "its shape has " + problem);
  if (*bytes > kLimit) refuse(name, "an array of more than 4 GiB");
  return *bytes;
}

std::vector<std::int64_t> backwards(std::int64_t dims) {
  std::vector<std::int64_t> order;
  while (dims-- > 0) order.push_back(dims);
  return order;
}

}  // namespace

at::Tensor read_npy(std::span<const std::byte> bytes, const std::string& name) try {
  Cursor in(bytes);
  if (in.take_text(6) != std::string_view("\x93NUMPY", 6)) refuse(name, "is no .npy array");
  const std::uint8_t version = in.u8();
  in.u8();
  const std::string_view header = in.take_text(version == 1 ? in.u16() : in.u32());
  const std::string_view descr = after(header, "descr", name);
  if (descr.empty() || descr[0] != '\'') refuse(name, "holds records, not numbers");
  const at::ScalarType type = type_of(descr.substr(1, descr.find('\'', 1) - 1), name);
  std::vector<std::int64_t> shape = shape_of(after(header, "shape", name), name);
  const bool fortran = after(header, "fortran_order", name).starts_with("True");
  const std::span<const std::byte> data = in.take(in.remaining());
  if (data.size() != bytes_of(shape, type, name))
    refuse(name, "its shape does not fit its " + std::to_string(data.size()) + " bytes");
  if (fortran) std::ranges::reverse(shape);
  at::Tensor out = at::empty(shape, type);
  if (!data.empty()) std::memcpy(out.mutable_data_ptr(), data.data(), data.size());
  check_booleans(out, name, "the array");
  if (fortran) out = out.permute(backwards(out.dim())).contiguous();
  const bool wide = type == at::kUInt16 || type == at::kUInt32 || type == at::kUInt64;
  return wide ? out.to(at::kLong) : out;
} catch (const OutOfBytes&) {
  refuse(name, "ends inside its header");
}

std::map<std::string, at::Tensor> read_npz(const ByteSource& source) try {
  const std::vector<std::byte> file = source.read(0, std::min(source.size(), kLimit));
  const std::span<const std::byte> all(file);
  // The end record is the last 22 bytes: NumPy writes no comment.
  if (all.size() < 22) refuse(source.name(), "is no .npz archive");
  Cursor end(all.subspan(all.size() - 22));
  if (end.u32() != 0x06054b50) refuse(source.name(), "has no zip end record where NumPy puts it");
  end.take(6);
  const std::uint16_t count = end.u16();
  end.u32();
  const std::uint32_t directory = end.u32();
  if (directory > all.size()) refuse(source.name(), "its directory lies outside the file");
  Cursor in(all.subspan(directory));
  std::map<std::string, at::Tensor> out;
  std::uint64_t all_packed = 0, all_unpacked = 0;
  for (std::uint16_t k = 0; k < count; ++k) {
    if (in.u32() != 0x02014b50) refuse(source.name(), "its directory is damaged");
    in.take(6);
    const std::uint16_t method = in.u16();
    in.take(8);
    const std::uint32_t packed = in.u32(), size = in.u32();
    all_packed += packed, all_unpacked += size;
    // Entries that share bytes could unpack to any size.
    if (all_packed > all.size()) refuse(source.name(), "its entries overlap");
    if (all_unpacked > kLimit) refuse(source.name(), "unpacks to more than 4 GiB");
    const std::uint16_t name_length = in.u16(), extra = in.u16(), comment = in.u16();
    in.take(8);
    const std::uint32_t offset = in.u32();
    std::string name(in.take_text(name_length));
    in.take(std::uint64_t{extra} + comment);
    if (offset > all.size()) refuse(source.name(), "an entry lies outside the file");
    Cursor local(all.subspan(offset));
    local.take(26);
    const std::uint16_t local_name = local.u16(), local_extra = local.u16();
    local.take(std::uint64_t{local_name} + local_extra);
    const std::span<const std::byte> data = local.take(packed);
    const std::string where = source.name() + " (" + name + ")";
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    if (method != 0 && method != 8) refuse(where, "is packed in an unknown way");
    if (out.contains(name)) refuse(source.name(), "holds " + in_quotes(name) + " twice");
    require_memory(size, where);
    out[name] = read_npy(method == 0 ? data : inflate(data, Deflated::Raw, size, where), where);
  }
  return out;
} catch (const OutOfBytes&) {
  refuse(source.name(), "its archive ends early");
}

namespace {

bool first_entry_is_npy(const ByteSource& source) {
  const std::vector<std::byte> head = source.read(0, std::min<std::uint64_t>(source.size(), 4096));
  if (head.size() < 30) return false;
  const std::size_t length = load_little<std::uint16_t>(std::span(head).subspan(26));
  return head.size() >= 30 + length && as_text(std::span(head).subspan(30, length)).ends_with(".npy");
}

}  // namespace

bool looks_like_arrays(const ByteSource& source) {
  if (source.size() < 4) return false;
  const std::vector<std::byte> head = source.read(0, 4);
  const auto at = [&](std::size_t k) { return std::to_integer<unsigned>(head[k]); };
  const bool zip = at(0) == 'P' && at(1) == 'K' && first_entry_is_npy(source), npy = at(0) == 0x93,
             gzip = at(0) == 0x1f && at(1) == 0x8b;
  const bool idx = at(0) == 0 && at(1) == 0 && at(2) >= 8 && at(2) <= 14 && at(3) >= 1 && at(3) <= 8;
  return zip || npy || gzip || idx;
}

std::map<std::string, at::Tensor> read_arrays(const std::filesystem::path& path) {
  const auto source = open_file(path);
  if (source->size() < 4) refuse(source->name(), "is empty");
  const std::vector<std::byte> head = source->read(0, 2);
  if (head[0] == std::byte{'P'}) return read_npz(*source);
  if (head[0] == std::byte{0x93})
    return {{"", read_npy(source->read(0, std::min(source->size(), kLimit)), source->name())}};
  return {{"", read_idx(*source)}};
}

}  // namespace pollard::models::io
