// SPDX-License-Identifier: Apache-2.0
// IDX: two zero bytes, a type, the number of dimensions, each length as big-endian u32, then the numbers.
#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "graph/error.h"
#include "kernels/executor.h"
#include "models/io/array_error.h"
#include "models/io/bytes.h"
#include "models/io/inflate.h"
#include "models/io/npy.h"
#include "models/io/tensor_limits.h"

namespace pollard::models::io {
namespace {

constexpr std::uint64_t kLimit = std::uint64_t{1} << 32;

[[noreturn]] void refuse(const std::string& name, const std::string& message) {
  throw array_error(name, message,
                    "an IDX file holds 0 0 type dimensions, then big-endian lengths and numbers");
}

at::ScalarType type_of(std::uint8_t code, const std::string& name) {
  switch (code) {
    case 0x08: return at::kByte;
    case 0x09: return at::kChar;
    case 0x0B: return at::kShort;
    case 0x0C: return at::kInt;
    case 0x0D: return at::kFloat;
    case 0x0E: return at::kDouble;
    default: refuse(name, "its type " + std::to_string(code) + " is unknown");
  }
}

std::uint32_t big(Cursor& in) {
  const std::uint32_t a = in.u8(), b = in.u8(), c = in.u8(), d = in.u8();
  return a << 24 | b << 16 | c << 8 | d;
}

}  // namespace

at::Tensor read_idx(const ByteSource& source) try {
  std::vector<std::byte> file = source.read(0, std::min(source.size(), kLimit));
  if (file.size() > 2 && file[0] == std::byte{0x1f} && file[1] == std::byte{0x8b})
    file = inflate(file, Deflated::Gzip, kLimit, source.name());
  Cursor in(file);
  if (in.u8() != 0 || in.u8() != 0) refuse(source.name(), "is no IDX file");
  const at::ScalarType type = type_of(in.u8(), source.name());
  std::vector<std::uint64_t> lengths(in.u8());
  for (std::uint64_t& length : lengths) length = big(in);
  std::string problem;
  const auto bytes = tensor_bytes(lengths, kernels::from_scalar_type(type), problem);
  if (!bytes) refuse(source.name(), "its shape has " + problem);
  if (*bytes > kLimit) refuse(source.name(), "an array of more than 4 GiB");
  const std::vector<std::int64_t> shape(lengths.begin(), lengths.end());
  const std::span<const std::byte> data = in.take(in.remaining());
  if (shape.empty() || data.size() != *bytes)
    refuse(source.name(), "its lengths ask for " + std::to_string(*bytes) + " bytes, it holds " +
                              std::to_string(data.size()));
  at::Tensor out = at::empty(shape, type);
  auto* to = static_cast<std::byte*>(out.mutable_data_ptr());
  std::ranges::copy(data, to);
  const std::size_t width = c10::elementSize(type);
  for (std::size_t at = 0; width > 1 && at < data.size(); at += width) std::reverse(to + at, to + at + width);
  return out;
} catch (const OutOfBytes&) {
  refuse(source.name(), "ends inside its header");
}

}  // namespace pollard::models::io
