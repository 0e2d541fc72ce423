// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/Error.hpp>

#include "graph/error.h"

namespace pollard::cli {

class CommandLine;

/// Says what is wrong with a command line in pollard's own words (Exit::Usage):
///   E0201 unknown command, E0202 unknown option (both with the nearest known name), E0203 bad value,
///   E0204 too few or too many arguments, E0206 options that do not go together, E0209 configuration file.
UserError usage_error(const CLI::ParseError& error, const CommandLine& line);

/// A mistake on the command line: Exit::Usage, nothing but the message and what to do.
UserError usage_error(std::string code, std::string subject, std::string message, std::string help = {});

}  // namespace pollard::cli
