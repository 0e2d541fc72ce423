// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>

/// Ctrl-C, SIGTERM and a closed terminal (SIGHUP) as a flag that long loops look at: files are closed and temporaries removed on the way
/// out.
namespace pollard::models::io {

/// Makes SIGINT, SIGTERM and, where it is not ignored, SIGHUP set the flag; SIGXFSZ is ignored. A second signal ends the process at once, after removing the files
/// RemoveIfKilled knows of. Call once, from main.
void install_cancel_signals();

bool cancel_requested();

/// Throws UserError{E0509, Exit::Interrupted} when a signal arrived, unless this thread holds it off.
void throw_if_cancelled();

/// Throws what throw_if_cancelled() throws: for work of which another process was interrupted.
[[noreturn]] void throw_cancelled();

/// While it lives, throw_if_cancelled() throws nothing on this thread: what was begun is finished first, and
/// cancel_requested() still tells. A second signal ends the process as ever.
class HoldCancel {
 public:
  HoldCancel();
  ~HoldCancel();
  HoldCancel(const HoldCancel&) = delete;
  HoldCancel& operator=(const HoldCancel&) = delete;
};

/// Sets or clears the flag as a signal would; for tests and for hosts with their own signal handling.
void request_cancel(bool requested = true);

/// While it lives, a second signal removes the file that `create` made (it returns whether it did). No signal comes between making the file and its
/// record here: this thread holds signals back meanwhile, and another thread that a signal kills the process by waits
/// for it (a second at most). A path too long, or more than a few at once, is not recorded.
class RemoveIfKilled {
 public:
  RemoveIfKilled(const std::string& path, const std::function<bool()>& create);
  ~RemoveIfKilled();
  RemoveIfKilled(const RemoveIfKilled&) = delete;
  RemoveIfKilled& operator=(const RemoveIfKilled&) = delete;

 private:
  std::size_t slot_;
};

}  // namespace pollard::models::io
