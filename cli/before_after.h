// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "cli/context.h"
#include "graph/cost.h"
#include "models/model.h"

namespace pollard::cli {

/// What two forms of a network cost.
struct BeforeAfter {
  graph::Cost before, after;
  double seconds_before = 0, seconds_after = 0;  ///< medians of the latency; 0 = not measured
};

/// Is given both forms and what they cost, once the result is written.
using CompareHook =
    std::function<void(const models::Model& before, const models::Model& after, const BeforeAfter& figures)>;

/// Counts both and times them in turn at the example's shapes, `repeat` runs each on the chosen device; 0 = do not time.
BeforeAfter compare(const models::Model& before, const models::Model& after, int repeat, Context& context);

/// Parameters, multiply-accumulates and latency.
Table size_table(const BeforeAfter& figures);

/// The same under "parameters", "macs" and "latency_seconds".
void add_to(Json& json, const BeforeAfter& figures);

}  // namespace pollard::cli
