// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace pollard::cli {

/// The op table (graph/op_rules.h) as Markdown: what `pollard op-reference` prints and docs/ops.md holds.
std::string op_reference();

}  // namespace pollard::cli
