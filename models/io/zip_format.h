// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// Numbers of the zip format, from PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.
namespace pollard::models::io::zip {

inline constexpr std::uint32_t kLocalHeader = 0x04034b50;
inline constexpr std::uint32_t kDescriptor = 0x08074b50;
inline constexpr std::uint32_t kCentralHeader = 0x02014b50;
inline constexpr std::uint32_t kZip64End = 0x06064b50;
inline constexpr std::uint32_t kZip64Locator = 0x07064b50;
inline constexpr std::uint32_t kEnd = 0x06054b50;

inline constexpr std::uint64_t kLocalHeaderSize = 30;
inline constexpr std::uint64_t kCentralHeaderSize = 46;
inline constexpr std::uint64_t kZip64EndSize = 56;
inline constexpr std::uint64_t kZip64LocatorSize = 20;
inline constexpr std::uint64_t kEndSize = 22;

/// In a 16- or 32-bit field: the value is in the zip64 record.
inline constexpr std::uint16_t kSeeZip64Short = 0xFFFF;
inline constexpr std::uint32_t kSeeZip64 = 0xFFFFFFFF;

inline constexpr std::uint16_t kZip64Extra = 0x0001;

inline constexpr std::uint16_t kFlagEncrypted = 0x0001;
inline constexpr std::uint16_t kFlagCompressionHints = 0x0006;
inline constexpr std::uint16_t kFlagDescriptor = 0x0008;
inline constexpr std::uint16_t kFlagUtf8 = 0x0800;

inline constexpr std::uint16_t kStored = 0;

}  // namespace pollard::models::io::zip
