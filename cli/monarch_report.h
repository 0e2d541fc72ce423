// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/before_after.h"
#include "pruning/monarch.h"

namespace pollard::cli {

/// One row a layer: sizes and the errors of weight and output.
Table monarch_layers(const pruning::MonarchReport& report);
/// `output` is empty when nothing was written.
Json to_json(const pruning::MonarchReport& report, const BeforeAfter& figures, const std::string& input,
             const std::string& output);

}  // namespace pollard::cli
