// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/io/writer.h"

namespace pollard::models::io {

/// Writes a zip archive as PyTorch does: entries stored under one root directory, their data at multiples of
/// 64 bytes, zip64 records where sizes or counts need them (and always at the end). Streams: an entry is
/// written as it is added, followed by a descriptor with its CRC, so nothing is kept in memory but the
/// directory. Deterministic: no times, no random padding.
class ZipWriter {
 public:
  /// `root`: the directory all entries lie in; printable, without slashes.
  ZipWriter(Writer& out, std::string root);

  /// `name`: relative, letters, digits and "._-/" only; each name once.
  void add(std::string_view name, std::span<const std::byte> data);
  void add(std::string_view name, std::string_view text);

  /// An entry of `size` bytes in parts: `produce` calls its argument until all bytes are through.
  using Sink = std::function<void(std::span<const std::byte>)>;
  void add(std::string_view name, std::uint64_t size, const std::function<void(const Sink&)>& produce);

  /// Writes the directory. Nothing may be added afterwards.
  void finish();

  static constexpr std::uint64_t kAlignment = 64;  ///< of every entry's data, bytes

 private:
  struct Entry {
    std::string name;
    std::uint64_t header_offset;
    std::uint64_t size;
    std::uint32_t crc;
  };
  void write_local_header(const Entry& entry);
  void write_descriptor(const Entry& entry);
  void write_central_header(const Entry& entry);
  void write_end(std::uint64_t directory_offset);

  Writer& out_;
  std::string root_;
  std::vector<Entry> entries_;
  std::set<std::string, std::less<>> names_;
  bool finished_ = false;
};

}  // namespace pollard::models::io
