// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <type_traits>

/// Bounded reading and checked arithmetic: what every parser of untrusted bytes is built on. Nothing here can
/// read past its span, and no sum or product of numbers from a file wraps unnoticed.
namespace pollard::models::io {

template <std::integral T>
constexpr std::optional<T> checked_add(T a, std::type_identity_t<T> b) {
  T sum{};
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::integral T>
constexpr std::optional<T> checked_mul(T a, std::type_identity_t<T> b) {
  T product{};
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// Whether [offset, offset + length) lies inside [0, size).
constexpr bool fits(std::uint64_t offset, std::uint64_t length, std::uint64_t size) {
  return offset <= size && length <= size - offset;
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Little-endian integer at the start of `bytes`, which must hold it.
template <std::unsigned_integral T>
constexpr T load_little(std::span<const std::byte> bytes) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>(value | static_cast<T>(std::to_integer<T>(bytes[i]) << (8 * i)));
  return value;
}

/// A read past the end of a Cursor's bytes. Parsers turn it into a UserError that names their file.
class OutOfBytes : public std::runtime_error {
 public:
  OutOfBytes(std::uint64_t at, std::uint64_t count)
      : std::runtime_error("the bytes end too early"), position(at), wanted(count) {}
  std::uint64_t position;  ///< where the read began
  std::uint64_t wanted;    ///< how many bytes it asked for
};

/// Reads forward through a span; throws OutOfBytes instead of passing its end.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }
  bool at_end() const { return remaining() == 0; }

  std::span<const std::byte> take(std::uint64_t count) {
    if (count > remaining()) throw OutOfBytes(position_, count);
    const auto out = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += static_cast<std::size_t>(count);
    return out;
  }
  std::string_view take_text(std::uint64_t count) { return as_text(take(count)); }

  std::uint8_t u8() { return load_little<std::uint8_t>(take(1)); }
  std::uint16_t u16() { return load_little<std::uint16_t>(take(2)); }
  std::uint32_t u32() { return load_little<std::uint32_t>(take(4)); }
  std::uint64_t u64() { return load_little<std::uint64_t>(take(8)); }

 private:
  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
};

}  // namespace pollard::models::io
