// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pollard::models::io {

/// CRC-32 as zip uses it (reflected polynomial 0xEDB88320). `seed` is the CRC of the bytes before, 0 at the
/// start: crc32(b, crc32(a)) == crc32(a followed by b).
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t seed = 0);

}  // namespace pollard::models::io
