// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Reading files that may be hostile: regular files only, pread into owned memory (no mmap: a file truncated
/// while mapped would end the process), sizes known before anything is allocated.
namespace pollard::models::io {

/// Bytes of known length with random access: a file, or an archive entry held in memory.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual std::uint64_t size() const = 0;
  /// Fills `out` from `offset`; throws E0304 when the bytes are not there. Safe to call from several threads.
  virtual void read_at(std::uint64_t offset, std::span<std::byte> out) const = 0;
  /// How messages name it: the path as given, or "m.pt2 (entry data/sample_inputs/model.pt)".
  virtual const std::string& name() const = 0;

  std::vector<std::byte> read(std::uint64_t offset, std::uint64_t length) const;
};

/// Opens a regular file for reading. Throws E0302 (missing, directory, FIFO, device, no permission), with the
/// near names of the folder when it is missing.
std::shared_ptr<const ByteSource> open_file(const std::filesystem::path& path);

/// Bytes already in memory.
std::shared_ptr<const ByteSource> memory_source(std::vector<std::byte> bytes, std::string name);

/// The whole of a file, refused (E0303) above `limit` bytes.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t limit = 1ULL << 30);

/// Lower-case hexadecimal SHA-256 of a file's or an entry's bytes.
std::string sha256(const ByteSource& source);
std::string sha256(std::span<const std::byte> bytes);

/// What a file's first bytes look like when they are not the expected format: "a Git-LFS pointer", "an HTML
/// page", "text", "a gzip archive", and what to do about it.
struct Resemblance {
  std::string looks_like;
  std::string help;
};
Resemblance recognise(std::span<const std::byte> head);

/// Throws E0303: "`expected` was expected, this looks like ...".
[[noreturn]] void reject_unrecognised(const ByteSource& source, const std::string& expected);

}  // namespace pollard::models::io
