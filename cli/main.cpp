// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <iostream>
#include <string>
#include <vector>

#include "cli/app.h"
#include "models/io/cancel.h"

int main(int argc, char** argv) {
  pollard::models::io::install_cancel_signals();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return pollard::cli::run(arguments, {.out = std::cout,
                                       .err = std::cerr,
                                       .out_terminal = pollard::cli::detect_terminal(STDOUT_FILENO),
                                       .err_terminal = pollard::cli::detect_terminal(STDERR_FILENO)});
}
