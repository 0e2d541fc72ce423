// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/io/cancel.h"
#include "models/io/system_calls.h"
#include "models/io/writer.h"

namespace pollard::models::io {

/// Refuses an output path before any work is done: empty (E0220), a directory (E0221), a symbolic link or a
/// device (E0222), the same file as an input (E0223, also with `force`), existing without `force` (E0224), in
/// a folder that is missing (E0225): Exit::Usage. A read-only file or folder (E0503): Exit::Environment.
void check_output_path(const std::filesystem::path& output, const std::vector<std::filesystem::path>& inputs,
                       bool force);

/// Refuses an output that its disk (or RLIMIT_FSIZE) cannot hold before any work is done: E0501, Exit::Environment.
/// `bytes` may be less than the output will have, in so many files; commands call it as soon as they know so much.
void check_disk_space(const std::filesystem::path& output, std::uint64_t bytes, std::size_t files = 1);

/// A file that appears whole or not at all: bytes go to a temporary file in the same folder, which commit()
/// makes durable and renames over the final name. Whatever goes wrong before that (a full disk, an exception,
/// Ctrl-C) removes the temporary and leaves an old file of that name as it was.
///
/// Failures throw UserError: E0501 (no space, quota, file size limit), E0502 (other I/O), E0503 (no
/// permission), E0509 (interrupted), E0224 (the name was taken meanwhile and `force` is off).
class AtomicFile final : public Writer {
 public:
  struct Options {
    bool force = false;               ///< replace an existing file
    std::uint64_t expected_size = 0;  ///< bytes, when known: asked of the disk first, so that it fails early
    /// For files larger than memory: blocks that are aligned to kDirectAlignment, in memory and in the file, go to the
    /// disk without a copy in the page cache, where the file system can do that. The rest of the file from the first
    /// other block on goes the usual way.
    bool bypass_cache = false;
    SystemCalls* calls = nullptr;  ///< SystemCalls::current() when null
  };

  static constexpr std::size_t kDirectAlignment = 4096;

  AtomicFile(const std::filesystem::path& path, Options options);
  explicit AtomicFile(const std::filesystem::path& path) : AtomicFile(path, Options{}) {}
  ~AtomicFile() override;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes) override;
  std::uint64_t position() const override { return position_; }

  /// Flushes to the disk and gives the file its name. Nothing may be written afterwards.
  void commit();

 private:
  void create_temporary();
  void reserve_space();
  std::size_t next_chunk(std::span<const std::byte> bytes);
  void stop_bypassing();
  void discard() noexcept;
  [[noreturn]] void fail(const char* action, int error);

  std::filesystem::path path_;
  std::filesystem::path folder_;
  std::string temporary_;
  std::optional<RemoveIfKilled> remove_if_killed_;
  Options options_;
  SystemCalls* calls_;
  int fd_ = -1;
  bool bypassing_ = false;
  std::uint64_t position_ = 0;
};

/// All of `bytes` through an AtomicFile.
void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes, bool force);

}  // namespace pollard::models::io
