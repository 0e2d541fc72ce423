// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "graph/program.h"

namespace pollard::graph {

/// What an op says and what its values are cannot both be true: the file's fault. Throws UserError E0312.
[[noreturn]] void malformed(const Op& op, const std::string& detail);

}  // namespace pollard::graph
