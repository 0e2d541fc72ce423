// SPDX-License-Identifier: Apache-2.0
#include "models/io/crc32.h"

#include <array>
#include <bit>
#include <cstring>

namespace pollard::models::io {
namespace {

constexpr std::uint32_t kPolynomial = 0xEDB88320;
constexpr std::size_t kSlices = 16;
using Tables = std::array<std::array<std::uint32_t, 256>, kSlices>;

/// tables[k][b]: the CRC of byte b followed by k zero bytes.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? kPolynomial : 0U);
    tables[0][byte] = crc;
  }
  for (std::size_t slice = 1; slice < kSlices; ++slice)
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8U) ^ tables[0][before & 255U];
    }
  return tables;
}
constexpr Tables kTables = make_tables();

std::uint32_t fold_word(std::uint32_t word, std::size_t last_slice) {
  return kTables[last_slice][word & 255U] ^ kTables[last_slice - 1][(word >> 8U) & 255U] ^
         kTables[last_slice - 2][(word >> 16U) & 255U] ^ kTables[last_slice - 3][word >> 24U];
}

static_assert(std::endian::native == std::endian::little, "words are read in memory order");

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t seed) {
  std::uint32_t crc = ~seed;
  const std::byte* at = bytes.data();
  const std::byte* const end = at + bytes.size();
  // Slicing by 16 (Kounavis and Berry, 2005): sixteen independent table reads per step instead of a chain of
  // one.
  for (; end - at >= 16; at += 16) {
    std::array<std::uint32_t, 4> words{};
    std::memcpy(words.data(), at, 16);
    crc = fold_word(words[0] ^ crc, 15) ^ fold_word(words[1], 11) ^ fold_word(words[2], 7) ^
          fold_word(words[3], 3);
  }
  for (; at != end; ++at) crc = (crc >> 8U) ^ kTables[0][(crc ^ std::to_integer<std::uint32_t>(*at)) & 255U];
  return ~crc;
}

}  // namespace pollard::models::io
