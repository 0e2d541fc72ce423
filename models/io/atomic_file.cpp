// SPDX-License-Identifier: Apache-2.0
#include "models/io/atomic_file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "models/io/text.h"
#include "models/io/write_errors.h"

namespace pollard::models::io {
namespace {

constexpr std::size_t kWriteChunk = std::size_t{4} << 20;

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

[[noreturn]] void refuse(std::string code, Exit exit, const std::filesystem::path& path, std::string message,
                         std::string help) {
  throw UserError({.code = std::move(code),
                   .exit = exit,
                   .subject = printable(path.string()),
                   .message = std::move(message),
                   .help = std::move(help)});
}

[[noreturn]] void refuse_existing(const std::filesystem::path& path) {
  refuse("E0224", Exit::Usage, path, "exists already", "choose another name, or replace it with --force");
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void refuse_inputs(const std::filesystem::path& output, const struct stat& status,
                   const std::vector<std::filesystem::path>& inputs) {
  for (const auto& input : inputs) {
    struct stat other {};
    if (::stat(input.c_str(), &other) == 0 && same_file(status, other))
      refuse("E0223", Exit::Usage, output, "is also an input", "write to another name");
  }
}

void check_existing(const std::filesystem::path& output, const struct stat& status, bool force) {
  if (S_ISDIR(status.st_mode))
    refuse("E0221", Exit::Usage, output, "is a directory", "name a file inside it");
  if (S_ISLNK(status.st_mode))
    refuse("E0222", Exit::Usage, output, "is a symbolic link", "name the file it points to");
  if (!S_ISREG(status.st_mode))
    refuse("E0222", Exit::Usage, output, "is not a regular file", "name a regular file");
  if (!force) refuse_existing(output);
  if ((status.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0)
    refuse("E0503", Exit::Environment, output, "is read-only", "chmod u+w it, or choose another name");
}

void check_folder(const std::filesystem::path& output) {
  const std::filesystem::path folder = folder_of(output);
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    refuse("E0225", Exit::Usage, output, "its folder " + in_quotes(folder.string()) + " does not exist",
           "create it: mkdir -p " + printable(folder.string()));
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    refuse("E0503", Exit::Environment, output,
           "its folder " + in_quotes(folder.string()) + " cannot be written to",
           "check the folder's owner and mode");
}

std::string random_suffix() {
  static thread_local std::mt19937_64 generator{std::random_device{}()};
  std::string suffix;
  for (int i = 0; i < 12; ++i) suffix += "abcdefghijklmnopqrstuvwxyz012345"[generator() % 32];
  return suffix;
}

}  // namespace

void check_output_path(const std::filesystem::path& output, const std::vector<std::filesystem::path>& inputs,
                       bool force) {
  if (!output.has_filename())
    refuse("E0220", Exit::Usage, output, "names no output file", "give a file name");
  struct stat status {};
  if (::lstat(output.c_str(), &status) == 0) {
    refuse_inputs(output, status, inputs);
    check_existing(output, status, force);
  }
  check_folder(output);
}

void check_disk_space(const std::filesystem::path& output, std::uint64_t bytes, std::size_t files) {
  const std::string needs = "needs " + human_bytes(static_cast<double>(bytes)) + "; ";
  rlimit largest{};
  if (::getrlimit(RLIMIT_FSIZE, &largest) == 0 && largest.rlim_cur != RLIM_INFINITY &&
      bytes / files > largest.rlim_cur)
    refuse("E0501", Exit::Environment, output,
           needs + "files may have " + human_bytes(static_cast<double>(largest.rlim_cur)) + " here",
           "raise the limit: ulimit -f");
  const std::int64_t free = SystemCalls::current().free_bytes(folder_of(output).c_str());
  if (free >= 0 && bytes > static_cast<std::uint64_t>(free))
    refuse("E0501", Exit::Environment, output,
           needs + human_bytes(static_cast<double>(free)) + " are free on its disk",
           "free some space or write to another disk");
}

AtomicFile::AtomicFile(const std::filesystem::path& path, Options options)
    : path_(path),
      folder_(folder_of(path)),
      options_(options),
      calls_(options.calls != nullptr ? options.calls : &SystemCalls::current()) {
  check_output_path(path_, {}, options_.force);
  create_temporary();
  reserve_space();
  bypassing_ = options_.bypass_cache && calls_->bypass_cache(fd_, true) == 0;
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::create_temporary() {
  constexpr mode_t kMode = 0644;
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // A fixed prefix, because a long output name plus a suffix may exceed NAME_MAX.
    temporary_ = (folder_ / (".pollard-" + random_suffix() + ".tmp")).string();
    remove_if_killed_.emplace(temporary_, [&] {
      fd_ = calls_->open_new(temporary_.c_str(), kMode);
      return fd_ >= 0;
    });
    if (fd_ >= 0) return;
    remove_if_killed_.reset();
    if (errno != EEXIST && errno != EINTR) break;
  }
  const int error = errno;
  temporary_.clear();
  fail("creating a temporary file", error);
}

void AtomicFile::reserve_space() {
  while (options_.expected_size > 0) {
    if (calls_->allocate(fd_, static_cast<off_t>(options_.expected_size)) == 0) return;
    if (errno == EINTR) continue;
    if (disk_is_full(errno)) fail("reserving space", errno);
    return;  // a file system without fallocate: the writes will tell
  }
}

/// How much of `bytes` the next call writes.
std::size_t AtomicFile::next_chunk(std::span<const std::byte> bytes) {
  const std::size_t most = std::min(bytes.size(), kWriteChunk),
                    whole = most / kDirectAlignment * kDirectAlignment;
  const bool aligned = whole > 0 && position_ % kDirectAlignment == 0 &&
                       reinterpret_cast<std::uintptr_t>(bytes.data()) % kDirectAlignment == 0;
  if (bypassing_ && aligned) return whole;
  stop_bypassing();
  return most;
}

void AtomicFile::stop_bypassing() {
  if (std::exchange(bypassing_, false) && calls_->bypass_cache(fd_, false) != 0)
    fail("going back to cached writing", errno);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  POLLARD_CHECK(fd_ >= 0, "the file is complete");
  while (!bytes.empty()) {
    throw_if_cancelled();
    const ssize_t written = calls_->write(fd_, bytes.data(), next_chunk(bytes));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EINVAL && bypassing_) {  // a disk with larger blocks
      stop_bypassing();
      continue;
    }
    if (written <= 0) fail("writing", written < 0 ? errno : EIO);
    position_ += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  POLLARD_CHECK(fd_ >= 0, "the file is complete");
  POLLARD_CHECK(position_ >= options_.expected_size, "fewer bytes written than announced");
  throw_if_cancelled();
  int result = 0;
  do result = calls_->sync(fd_);
  while (result != 0 && errno == EINTR);
  if (result != 0) fail("flushing to the disk", errno);
  // close(2) releases the descriptor even when it fails, so it is never repeated.
  if (calls_->close(std::exchange(fd_, -1)) != 0 && errno != EINTR) fail("closing", errno);
  if (calls_->rename(temporary_.c_str(), path_.c_str(), options_.force) != 0) {
    if (errno == EEXIST) refuse_existing(path_);
    fail("renaming", errno);
  }
  temporary_.clear();
  remove_if_killed_.reset();
  // The new file is in place; a file system that cannot sync a folder is not a reason to call it lost.
  calls_->sync_folder(folder_.c_str());
}

void AtomicFile::discard() noexcept {
  if (fd_ >= 0) calls_->close(std::exchange(fd_, -1));
  if (!temporary_.empty()) calls_->unlink(temporary_.c_str());
  temporary_.clear();
  remove_if_killed_.reset();
}

void AtomicFile::fail(const char* action, int error) {
  discard();
  const std::string message = std::string(action) + " failed: " + std::strerror(error);
  if (disk_is_full(error)) {
    std::string needs = options_.expected_size > 0
                            ? "it needs " + human_bytes(static_cast<double>(options_.expected_size)) + "; "
                            : std::string();
    refuse("E0501", Exit::Environment, path_, message, needs + "free some space or write to another disk");
  }
  if (may_not_write(error))
    refuse("E0503", Exit::Environment, path_, message, "check the owner and mode of the folder and its disk");
  refuse("E0502", Exit::Environment, path_, message, "check the disk; nothing was written");
}

void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes, bool force) {
  AtomicFile file(path, {.force = force, .expected_size = bytes.size()});
  file.write(bytes);
  file.commit();
}

}  // namespace pollard::models::io
