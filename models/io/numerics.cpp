// SPDX-License-Identifier: Apache-2.0
#include "models/io/numerics.h"

#include <cstring>
#include <span>

#include "graph/error.h"
#include "models/io/tensor_memory.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

/// A floating-point format by its bits: all exponent bits set means infinite (mantissa 0) or NaN.
template <class Bits>
struct Layout {
  Bits exponent;
  Bits mantissa;
};

template <class Bits>
NonFinite count(std::span<const std::byte> bytes, Layout<Bits> layout) {
  const std::size_t elements = bytes.size() / sizeof(Bits);
  std::int64_t special = 0;
  std::int64_t nan = 0;
  for (std::size_t i = 0; i < elements; ++i) {
    Bits value{};
    std::memcpy(&value, bytes.data() + i * sizeof(Bits), sizeof(Bits));
    const bool top = (value & layout.exponent) == layout.exponent;
    special += top ? 1 : 0;
    nan += top && (value & layout.mantissa) != 0 ? 1 : 0;
  }
  return {.nan = nan, .infinite = special - nan};
}

/// f8_e4m3fn has no infinity: only S.1111.111 is NaN.
NonFinite count_e4m3(std::span<const std::byte> bytes) {
  std::int64_t nan = 0;
  for (const std::byte value : bytes) nan += (value & std::byte{0x7F}) == std::byte{0x7F} ? 1 : 0;
  return {.nan = nan};
}

NonFinite count_bytes(at::ScalarType type, std::span<const std::byte> bytes) {
  switch (type) {
    case at::kFloat:
    case at::kComplexFloat: return count<std::uint32_t>(bytes, {0x7F800000, 0x007FFFFF});
    case at::kDouble:
    case at::kComplexDouble: return count<std::uint64_t>(bytes, {0x7FF0000000000000, 0x000FFFFFFFFFFFFF});
    case at::kHalf:
    case at::kComplexHalf: return count<std::uint16_t>(bytes, {0x7C00, 0x03FF});
    case at::kBFloat16: return count<std::uint16_t>(bytes, {0x7F80, 0x007F});
    case at::kFloat8_e5m2: return count<std::uint8_t>(bytes, {0x7C, 0x03});
    case at::kFloat8_e4m3fn: return count_e4m3(bytes);
    default: return {};
  }
}

/// Flat index of the first element that count_nonfinite() counts.
std::int64_t first_nonfinite(const at::Tensor& tensor) {
  const auto bytes = tensor_data(tensor);
  const auto size = static_cast<std::size_t>(tensor.element_size());
  for (std::size_t i = 0; i < static_cast<std::size_t>(tensor.numel()); ++i)
    if (count_bytes(tensor.scalar_type(), bytes.subspan(i * size, size)).any())
      return static_cast<std::int64_t>(i);
  return -1;
}

std::string index_text(std::int64_t flat, at::IntArrayRef sizes) {
  std::string text;
  for (std::size_t d = sizes.size(); d-- > 0; flat /= sizes[d])
    text = std::to_string(flat % sizes[d]) + (text.empty() ? "" : ", ") + text;
  return "[" + text + "]";
}

}  // namespace

NonFinite count_nonfinite(const at::Tensor& tensor) {
  return count_bytes(tensor.scalar_type(), tensor_data(tensor.cpu().contiguous()));
}

void check_numerics(const std::string& name, const at::Tensor& tensor) {
  const at::Tensor plain = tensor.cpu().contiguous();
  const NonFinite found = count_bytes(plain.scalar_type(), tensor_data(plain));
  if (!found.any()) return;
  throw UserError(
      {.code = "E0350",
       .exit = Exit::BadFile,
       .subject = in_quotes(name),
       .message = std::to_string(found.nan) + " NaN and " + std::to_string(found.infinite) +
                  " infinite values among " + std::to_string(plain.numel()),
       .where = "first at index " + index_text(first_nonfinite(plain), plain.sizes()),
       .why = "importance scores of such a unit mean nothing",
       .help = "train again from the last good checkpoint; --allow-nonfinite keeps these units whole"});
}

}  // namespace pollard::models::io
