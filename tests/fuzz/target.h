// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "graph/error.h"
#include "models/io/file.h"
#include "tests/bad_files/temp_folder.h"

namespace pollard::fuzz {

inline std::vector<std::byte> bytes(const std::uint8_t* data, std::size_t size) {
  const auto view = std::as_bytes(std::span(data, size));
  return {view.begin(), view.end()};
}

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline std::shared_ptr<const models::io::ByteSource> source(const std::uint8_t* data, std::size_t size) {
  return models::io::memory_source(bytes(data, size), "fuzz");
}

/// A folder for readers that take paths; it goes away with the process.
class Folder : public bad_files::TempFolder {
 public:
  std::filesystem::path write(std::string_view name, std::string_view bytes) const {
    std::filesystem::remove(path() / name);
    return bad_files::TempFolder::write(name, bytes);
  }
};

/// Any input must be read or refused with a UserError; anything else ends the process.
template <class Read>
int read_or_refuse(Read read) {
  try {
    read();
  } catch (const UserError&) {}
  return 0;
}

}  // namespace pollard::fuzz
