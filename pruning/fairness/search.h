// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "pruning/fairness/scoreboard.h"

namespace pollard::pruning::fairness {

/// The most units of `choice` whose joint removal keeps performance within the floor: at most (1 + `slack`) times the
/// whole network's. Tries choice.alpha, then one unit fewer at a time. Indices into the board's units. An embedding
/// shift, which is 0 for the whole network, may be at most `slack` itself.
std::vector<std::int64_t> choose_within(const models::Model& model, const graph::Dependencies& dependencies,
                                        const Scoreboard& board, const Choice& choice,
                                        const PerformanceMetric& performance, double slack);

/// The longest beginning of `order` (units in the order of their removal) that keeps performance within the floor.
std::vector<std::int64_t> cut_to_floor(const models::Model& model, const graph::Dependencies& dependencies,
                                       const Scoreboard& board, std::vector<std::int64_t> order,
                                       const PerformanceMetric& performance, double slack);

/// FASP one unit at a time: the units are scored again after each removal, so that what two of them share is seen.
/// The last unit of a group is never a candidate. Indices into `units`, in the order of removal.
std::vector<std::int64_t> choose_greedily(
    const models::Model& model, const graph::Dependencies& dependencies, const std::vector<Unit>& units,
    const PerformanceMetric& performance, const BiasMetric& bias, const Choice& choice,
    const std::function<void(std::int64_t done, std::int64_t total)>& progress = {});

/// `heads`, and then units of other groups by `rest` (a budget for the whole network: MACs, parameters or a speed-up
/// over the original) until it is met. Head groups and head dims lose nothing more.
Plan join(const models::Model& model, const graph::Dependencies& dependencies, const Plan& heads,
          PlanOptions rest);

/// One way of choosing, and where it leads.
struct Outcome {
  Choice choice;
  std::int64_t removed = 0;
  double performance = 0;
  double bias = 0;  ///< of one axis; of several the weighted sum relative to the whole network's
  std::vector<double> by_axis;
  std::int64_t parameters = 0, macs = 0;
  /// No other outcome is as good in performance, bias and parameters and better in one. For Pareto choices of several
  /// axes the bias of each axis counts, otherwise the weighted one.
  bool front = false;
};
/// Removes what each choice chooses and measures the network that is left. Choices that ask for more than there is
/// (E0430) are left out. The first outcome is the network as it is.
std::vector<Outcome> outcomes(
    const models::Model& model, const graph::Dependencies& dependencies, const Scoreboard& board,
    const std::vector<Choice>& choices, const PerformanceMetric& performance, const BiasMetric& bias,
    const std::function<void(std::int64_t done, std::int64_t total)>& progress = {});
/// FASP's published grid, alpha 0.02, 0.04, ..., 0.20 and gamma 0.2, ..., 0.7, and every baseline the board has scores
/// for at the same alphas, `random_seeds` of random. `common`: how several axes are weighed.
std::vector<Choice> published_grid(const Scoreboard& board, const Choice& common, std::int64_t random_seeds);

}  // namespace pollard::pruning::fairness
