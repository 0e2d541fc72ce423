// SPDX-License-Identifier: Apache-2.0
#include "models/io/system_calls.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

namespace pollard::models::io {

int SystemCalls::open_new(const char* path, mode_t mode) {
  return ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
}

int SystemCalls::allocate(int fd, off_t size) { return ::fallocate(fd, 0, 0, size); }

int SystemCalls::bypass_cache(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags < 0 ? -1 : ::fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT);
}

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

std::int64_t SystemCalls::free_bytes(const char* folder) {
  struct statvfs disk {};
  if (::statvfs(folder, &disk) != 0) return -1;
  // The last blocks are the administrator's.
  const auto blocks = ::geteuid() == 0 ? disk.f_bfree : disk.f_bavail;
  return static_cast<std::int64_t>(blocks * disk.f_frsize);
}

namespace {
std::atomic<SystemCalls*> replaced{nullptr};
}

SystemCalls& SystemCalls::posix() {
  static SystemCalls calls;
  return calls;
}

SystemCalls& SystemCalls::current() {
  SystemCalls* calls = replaced.load();
  return calls != nullptr ? *calls : posix();
}

void SystemCalls::replace(SystemCalls* calls) { replaced.store(calls); }

}  // namespace pollard::models::io
