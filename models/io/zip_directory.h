// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/io/file.h"

/// The structure of a zip archive, checked: what ZipReader reads before it offers any entry.
namespace pollard::models::io::zip {

struct DirectoryEntry {
  std::string name;                 ///< as stored, with the root directory
  std::uint64_t header_offset = 0;  ///< of the local header
  std::uint64_t data_offset = 0;
  std::uint64_t size = 0;
  std::uint32_t crc = 0;
  std::uint16_t flags = 0;
};

/// Reads the end record, the central directory and every local header, and requires that they agree and tile
/// the file. Sorted by offset. Throws E0303, E0320, E0321.
std::vector<DirectoryEntry> read_directory(const ByteSource& source);

}  // namespace pollard::models::io::zip
