// SPDX-License-Identifier: Apache-2.0
#include "models/io/system_calls.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace pollard::models::io {

int SystemCalls::open_new(const char* path, mode_t mode) {
  return ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
}

int SystemCalls::allocate(int fd, off_t size) { return ::fallocate(fd, 0, 0, size); }

ssize_t SystemCalls::write(int fd, const void* bytes, std::size_t count) { return ::write(fd, bytes, count); }

int SystemCalls::sync(int fd) { return ::fsync(fd); }

int SystemCalls::close(int fd) { return ::close(fd); }

int SystemCalls::rename(const char* from, const char* to, bool replace) {
  if (replace) return ::rename(from, to);
  if (::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -1;
  // File systems without RENAME_NOREPLACE: a hard link refuses an existing name just as atomically.
  if (::link(from, to) != 0) return -1;
  return ::unlink(from);
}

int SystemCalls::unlink(const char* path) { return ::unlink(path); }

int SystemCalls::sync_folder(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -1;
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  errno = error;
  return result;
}

SystemCalls& SystemCalls::posix() {
  static SystemCalls calls;
  return calls;
}

}  // namespace pollard::models::io
