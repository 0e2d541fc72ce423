// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

namespace pollard::cli {

struct Globals;

/// Makes spdlog's default logger write to `err` (warnings; -v info, -vv debug, -q errors) and, with --log-file,
/// everything with times to that file. Throws UserError E0505 (Exit::Environment) when the file cannot be opened.
void set_up_log(const Globals& globals, std::ostream& err);

/// Takes `err` out of the logger again; it may die before the process does.
void shut_down_log();

}  // namespace pollard::cli
