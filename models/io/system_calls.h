// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace pollard::models::io {

/// The system calls AtomicFile makes, each as in POSIX: -1 and errno on failure. Tests replace them to make
/// the n-th one fail.
class SystemCalls {
 public:
  virtual ~SystemCalls() = default;
  virtual int open_new(const char* path, mode_t mode);  ///< open(2) with O_CREAT|O_EXCL|O_NOFOLLOW|O_WRONLY
  virtual int allocate(int fd, off_t size);             ///< fallocate(2), from 0
  virtual ssize_t write(int fd, const void* bytes, std::size_t count);
  virtual int sync(int fd);
  virtual int close(int fd);
  /// rename(2); without `replace` it fails with EEXIST when `to` exists.
  virtual int rename(const char* from, const char* to, bool replace);
  virtual int unlink(const char* path);
  virtual int sync_folder(const char* path);

  static SystemCalls& posix();
};

}  // namespace pollard::models::io
