// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/cost.h"
#include "pruning/latency.h"
#include "pruning/plan.h"

namespace pollard::pruning {

/// An upper bound on what stays, and what stays at given widths.
struct Limit {
  std::string
      what;  ///< its unit: "parameters", "MACs", "bytes of activations", "bytes on disk", "microseconds"
  double most = 0;
  std::function<double(const graph::Widths&)> cost;
};

/// All bounds of the options. `cost` and `latency` must outlive them; the latter is needed for a latency budget only.
std::vector<Limit> limits_of(const PlanOptions& options, const graph::CostModel& cost,
                             const graph::Cost& before, const LatencyModel* latency = nullptr);
/// The seconds that a latency budget allows.
double most_seconds(const PlanOptions& options, const LatencyModel& latency);

/// One of `remaining` steps towards the budgets: every bound lies that part of the way, geometrically, from what `now`
/// costs; with one step left they are the budgets themselves. A speed-up is turned into the MACs it means for `now`, so
/// the first call must see the dense network, and so is a share of its seconds. Ratios stay as they are. `seconds`: what
/// one run takes now, for latency budgets.
PlanOptions step_toward(PlanOptions options, const graph::Cost& now, std::int64_t remaining,
                        double seconds = 0);

/// Sum over the limits of how far each is exceeded, relative to it; 0 when all are met.
double excess(const std::vector<Limit>& limits, const graph::Widths& widths);

}  // namespace pollard::pruning
