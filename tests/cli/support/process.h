// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/cli/support/run_cli.h"

namespace pollard::cli::test {

/// What the system allows a process; 0: as much as the test itself.
struct Limits {
  std::uint64_t address_space = 0;
  std::uint64_t file_size = 0;
};

/// How a process ended.
struct Ending {
  int exit = -1;   ///< -1 when a signal ended it
  int signal = 0;  ///< which
  std::string out, err;
  double seconds = 0;
};

/// The program itself, started as a shell would: what run_cli() cannot show, as signals and limits end the process.
class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments, Limits limits = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void send(int signal) const;
  bool running();
  Ending wait();

 private:
  bool reap(int flags);

  ScopedFolder folder_;  ///< of what it prints
  pid_t id_ = -1;
  int status_ = 0;
  bool ended_ = false;
  double started_ = 0, seconds_ = 0;
};

}  // namespace pollard::cli::test
