// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

#include "pruning/plan.h"

namespace pollard::pruning {

/// How a plan for a latency is made and looked at.
struct LatencyRounds {
  std::function<Plan(const PlanOptions&)> plan;
  /// Seconds of a run of the whole network and of the planned one, in turn.
  std::function<std::pair<double, double>(const Plan&)> race;
  int rounds = 4;  ///< plans made at most
};

/// Plans, measures what was planned, and where that takes longer than was asked for plans again, for less by as much as
/// the prediction fell short. A measurement that other work disturbed looks just like that and would cost units for
/// nothing, so a plan is measured up to three times and its best counts, and when a later plan takes less than 95 %
/// of the time asked for, the next may take that much more again. Returns, of the plans that met the time, the one that
/// predicts most; the last one (Forecast::over() > 0) where none did.
Plan plan_for_latency(PlanOptions options, const LatencyRounds& how);

}  // namespace pollard::pruning
