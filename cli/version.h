// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace pollard::cli {

/// "0.1.0", or "0.1.0+g1a2b3c4" when the build knows its commit.
std::string version();

/// "pollard 0.1.0": what files and JSON carry as the tool that made them.
std::string tool_name();

}  // namespace pollard::cli
