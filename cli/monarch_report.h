// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/context.h"
#include "graph/cost.h"
#include "pruning/monarch.h"

namespace pollard::cli {

/// A network before and after.
struct MonarchFigures {
  graph::Cost before, after;
  double seconds_before = 0, seconds_after = 0;  ///< medians of the latency; 0 = not measured
};

/// One row a layer: sizes and the errors of weight and output.
Table monarch_layers(const pruning::MonarchReport& report);
/// Parameters, multiply-accumulates and latency of the whole.
Table monarch_sizes(const MonarchFigures& figures);
/// `output` is empty when nothing was written.
Json to_json(const pruning::MonarchReport& report, const MonarchFigures& figures, const std::string& input,
             const std::string& output);

}  // namespace pollard::cli
