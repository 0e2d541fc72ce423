// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace pollard {

/// The process exit status a failure leads to; part of the stable command-line contract.
enum class Exit : int {
  Ok = 0,
  GateFailed = 1,    ///< a check the user asked for did not hold
  Usage = 2,         ///< the command line itself is wrong
  BadFile = 3,       ///< a file was rejected
  Unsupported = 4,   ///< a model or op this version cannot handle
  Environment = 5,   ///< disk, memory, device
  Bug = 70,          ///< our own mistake
  Interrupted = 130  ///< Ctrl-C or SIGTERM
};

/// A mistake in what the user gave us: what happened, where, why, and what to do about it.
/// `code` ("E0301") is stable and documented by `pollard explain CODE`.
class UserError : public std::runtime_error {
 public:
  struct Parts {
    std::string code;  ///< "E0301"
    Exit exit = Exit::BadFile;
    std::string subject;  ///< the file, flag or op the message is about; may be empty
    std::string message;  ///< one sentence: what was got and what was expected
    std::string where;    ///< entry, byte offset, node; may be empty
    std::string why;      ///< may be empty
    std::string help;     ///< the next step; may be empty
  };
  explicit UserError(Parts parts);

  const Parts& parts() const { return parts_; }
  Exit exit() const { return parts_.exit; }

 private:
  Parts parts_;
};

/// A broken invariant of pollard itself. Ends the process with Exit::Bug and asks for a report.
class InternalError : public std::logic_error {
  using std::logic_error::logic_error;
};

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& detail);

}  // namespace pollard

/// Our own invariant; `detail` is a std::string expression evaluated only on failure.
#define POLLARD_CHECK(condition, detail)                                                 \
  do {                                                                                   \
    if (!(condition)) ::pollard::check_failed(__FILE__, __LINE__, #condition, (detail)); \
  } while (false)
