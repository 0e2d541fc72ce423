// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "cli/context.h"

namespace pollard::cli {

class CommandLine;

/// Every command, in the order the help shows them.
void add_commands(CommandLine& line);

/// Runs one command line (without the program's name) and returns the process exit status. Nothing escapes:
/// UserError ends with its own status, an out-of-memory with 5, anything else with 70 and a request to report.
/// With --json a failure also prints {"schema":"pollard.error/1", ...} on stdout.
int run(std::span<const std::string> arguments, Streams streams);

}  // namespace pollard::cli
