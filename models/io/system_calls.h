// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace pollard::models::io {

/// The system calls AtomicFile makes, each as in POSIX: -1 and errno on failure. Tests replace them to make
/// the n-th one fail.
class SystemCalls {
 public:
  virtual ~SystemCalls() = default;
  virtual int open_new(const char* path, mode_t mode);  ///< open(2) with O_CREAT|O_EXCL|O_NOFOLLOW|O_WRONLY
  virtual int allocate(int fd, off_t size);             ///< fallocate(2), from 0
  virtual int bypass_cache(int fd, bool on);            ///< O_DIRECT by fcntl(2)
  virtual ssize_t write(int fd, const void* bytes, std::size_t count);
  virtual int sync(int fd);
  virtual int close(int fd);
  /// rename(2); without `replace` it fails with EEXIST when `to` exists.
  virtual int rename(const char* from, const char* to, bool replace);
  virtual int unlink(const char* path);
  virtual int sync_folder(const char* path);
  virtual std::int64_t free_bytes(const char* folder);  ///< on its disk, for this user; -1 where unknown

  static SystemCalls& posix();
  /// What an AtomicFile uses that is not given any: posix(), or what replace() put there.
  static SystemCalls& current();
  /// For tests: every file of this process is written by `calls` from here on; null: posix() again.
  static void replace(SystemCalls* calls);
};

}  // namespace pollard::models::io
