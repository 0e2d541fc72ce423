// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/io/file.h"

namespace pollard::models::io {

struct ZipEntry {
  std::string name;          ///< without the root directory: "data/weights/weight_0"
  std::uint64_t offset = 0;  ///< of its first data byte in the archive
  std::uint64_t size = 0;    ///< bytes
  std::uint32_t crc = 0;
};

/// A zip archive as PyTorch writes it (.pt, .pt2): entries stored, not compressed, under one root directory.
/// Far stricter than zip itself, so that no two programs can see two different files in it. The entries must
/// tile the archive without gap or overlap:
///
///     local header + data [+ descriptor] | ... | central directory [| zip64 end + locator] | end record
///
/// and local and central headers must agree; names are relative and plain, none occurs twice; nothing is
/// encrypted. Throws E0303 (not a zip), E0320 (structure), E0321 (compressed, encrypted), E0322 (names),
/// E0323 (CRC).
class ZipReader {
 public:
  struct Options {
    bool check_crc = true;  ///< off for files written with torch.serialization.set_crc32_options(False)
  };

  explicit ZipReader(std::shared_ptr<const ByteSource> source, Options options);
  explicit ZipReader(std::shared_ptr<const ByteSource> source) : ZipReader(std::move(source), Options{}) {}
  explicit ZipReader(const std::filesystem::path& path) : ZipReader(open_file(path)) {}

  /// In the order of the archive.
  const std::vector<ZipEntry>& entries() const { return entries_; }
  const std::string& root() const { return root_; }
  const ByteSource& source() const { return *source_; }
  const std::string& name() const { return source_->name(); }

  /// nullptr when there is none.
  const ZipEntry* find(std::string_view name) const;
  /// Throws E0324 when there is none.
  const ZipEntry& require(std::string_view name) const;

  /// The data of an entry, its CRC verified. `out` must be entry.size bytes. Safe from several threads.
  void read_into(const ZipEntry& entry, std::span<std::byte> out) const;
  std::vector<std::byte> read(const ZipEntry& entry) const;
  std::string read_text(const ZipEntry& entry) const;
  /// An archive inside this one.
  std::shared_ptr<const ByteSource> open(const ZipEntry& entry) const;

 private:
  std::shared_ptr<const ByteSource> source_;
  Options options_;
  std::string root_;
  std::vector<ZipEntry> entries_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
};

/// Whether the bytes begin as a zip archive does.
bool is_zip(std::span<const std::byte> head);

}  // namespace pollard::models::io
