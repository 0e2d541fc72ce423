// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <mutex>
#include <string>

#include "models/io/system_calls.h"

namespace pollard::bad_files {

/// Fails the n-th call (from 0) with `error`; counts all of them.
class FailingCalls final : public models::io::SystemCalls {
 public:
  FailingCalls(int failing, int error) : failing_(failing), error_(error) {}
  int count = 0;
  std::string failed;  ///< which call that was; empty: there were fewer

  int open_new(const char* path, mode_t mode) override {
    return fail("open") ? -1 : SystemCalls::open_new(path, mode);
  }
  int allocate(int fd, off_t size) override {
    return fail("allocate") ? -1 : SystemCalls::allocate(fd, size);
  }
  ssize_t write(int fd, const void* bytes, std::size_t size) override {
    return fail("write") ? -1 : SystemCalls::write(fd, bytes, size);
  }
  int sync(int fd) override { return fail("sync") ? -1 : SystemCalls::sync(fd); }
  int close(int fd) override {
    const int result = SystemCalls::close(fd);
    return fail("close") ? -1 : result;
  }
  int rename(const char* from, const char* to, bool replace) override {
    return fail("rename") ? -1 : SystemCalls::rename(from, to, replace);
  }
  int sync_folder(const char* path) override {
    return fail("sync_folder") ? -1 : SystemCalls::sync_folder(path);
  }

  /// Whether a file may be written in spite of the failure: its folder cannot be flushed, or the file system cannot
  /// reserve space, which the writes will show.
  bool harmless() const {
    return failed == "sync_folder" || (failed == "allocate" && error_ != ENOSPC && error_ != EDQUOT);
  }

 private:
  bool fail(const char* call) {
    const std::lock_guard lock(mutex_);
    if (count++ != failing_) return false;
    failed = call;
    errno = error_;
    return true;
  }
  int failing_;
  int error_;
  std::mutex mutex_;
};

}  // namespace pollard::bad_files
