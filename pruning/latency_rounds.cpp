// SPDX-License-Identifier: Apache-2.0
#include "pruning/latency_rounds.h"

#include <algorithm>
#include <optional>
#include <tuple>

namespace pollard::pruning {
namespace {

constexpr int kRaces = 3;
constexpr double kEnough = 0.95;  // of the time asked for: what a plan takes that leaves little to win

/// What the planned network takes, in seconds of the moment when the ops were timed.
double taken(const Forecast& f) { return f.measured_pruned * f.dense / f.measured_dense; }

void measure(Plan& plan, double asked, const LatencyRounds& how) {
  plan.latency->most = asked;
  for (int race = 0; race < kRaces; ++race) {
    Forecast next = *plan.latency;
    std::tie(next.measured_dense, next.measured_pruned) = how.race(plan);
    if (race == 0 || taken(next) < taken(*plan.latency)) plan.latency = next;
    if (plan.latency->over() <= 0) return;
  }
}

}  // namespace

Plan plan_for_latency(PlanOptions options, const LatencyRounds& how) {
  std::optional<Plan> best;
  double asked = 0;
  for (int round = 1;; ++round) {
    Plan plan = how.plan(options);
    if (round == 1) asked = plan.latency->most;
    const double planned = options.max_seconds.value_or(asked);
    measure(plan, asked, how);
    plan.options.max_seconds = asked;
    plan.options.seconds_share.reset();
    const Forecast forecast = *plan.latency;
    const bool met = forecast.over() <= 0;
    if (met && (!best || forecast.pruned > best->latency->pruned)) best = plan;
    const bool done = met && (planned >= asked || taken(forecast) > kEnough * asked);
    if (done || round == how.rounds) return best ? std::move(*best) : std::move(plan);
    options.max_seconds = std::min(asked, planned * asked / taken(forecast));
    options.seconds_share.reset();
  }
}

}  // namespace pollard::pruning
