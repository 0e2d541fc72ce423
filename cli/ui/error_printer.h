// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/ui/theme.h"
#include "graph/error.h"

namespace pollard::cli {

/// The one form of every error:
///   error[E0301] r56.pt: what was got and what was expected
///     at    entry, byte offset, node
///     why   what it means
///     help  the next step  (exit 3)
/// Texts may come from files: they are made printable. Long parts wrap to `width`.
std::string format_error(const UserError::Parts& parts, int width, const Theme& theme = {});

/// A mistake of pollard itself, with the request to report it.
std::string format_bug(const std::string& what, const std::string& command_line, int width,
                       const Theme& theme = {});

std::string format_warning(const std::string& message, int width, const Theme& theme = {});

}  // namespace pollard::cli
