// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/context.h"
#include "graph/error.h"

namespace pollard::cli {

/// "E0301" or "e0301".
bool is_error_code(const std::string& text);

/// Prints what the catalogue says of a code. Throws UserError E0203 for one that does not exist.
Exit explain_error(const std::string& code, Context& context);

}  // namespace pollard::cli
