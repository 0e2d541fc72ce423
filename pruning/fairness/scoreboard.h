// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pruning/fairness/metrics.h"
#include "pruning/fairness/selection.h"
#include "pruning/plan.h"

namespace pollard::pruning::fairness {

/// Everything selection needs, measured once: what is left of performance and bias without each unit.
struct Scoreboard {
  std::string sha256;  ///< of the model's file
  std::string performance_name, bias_name;
  std::vector<std::string> axes;
  std::vector<Unit> units;
  std::vector<std::string> groups, places;  ///< of each unit: "G02", "h.0.attn.c_proj.weight"
  double performance_whole = 0;
  std::vector<double> bias_whole;                        ///< by axis
  std::vector<double> performance;                       ///< by unit
  std::vector<std::vector<double>> bias;                 ///< by axis, by unit
  std::map<std::string, std::vector<double>> baselines;  ///< "magnitude", "gradient": by unit
};

/// Silences every unit and measures. `progress`, `state`: as in ProbeOptions, for both metrics in turn.
Scoreboard score_units(const Knockout& knockout, const graph::Dependencies& dependencies,
                       const PerformanceMetric& performance, const BiasMetric& bias,
                       const ProbeOptions& options = {});

/// Canonical JSON "pollard.head-scores/1".
std::string to_json(const Scoreboard& board);
/// Throws UserError E0394 for anything but such a JSON, or scores of another file than the model.
Scoreboard scoreboard_from_json(std::string_view json, const models::Model& model,
                                const graph::Dependencies& dependencies, const std::string& name);

/// The bias of a unit over several axes: the weighted sum of each axis's bias relative to the whole network's.
/// `weights`: by axis; empty for equal ones.
std::vector<double> combined_bias(const Scoreboard& board, const std::vector<double>& weights = {});

struct Choice {
  Method method = Method::Fasp;
  double alpha = 0.1, gamma = 0.3;
  std::vector<double> axis_weights;
  std::uint64_t seed = 0;
  bool pareto = false;  ///< FASP, several axes: none weighed against another (select_pareto)
};
/// Indices into the board's units. Throws as select_fasp() does; E0203 when the board lacks the method's scores.
std::vector<std::int64_t> choose(const Scoreboard& board, const Choice& choice);

/// The units as a plan. A network cannot lose the last unit of a group: of a group that would go whole the unit whose
/// loss costs most stays, and a warning says so. Groups that must lose equally many (the directions and layers of one
/// recurrent call) lose the whole part of the mean: units are taken back or added by what their loss costs.
Plan plan_for(const models::Model& model, const graph::Dependencies& dependencies, const Scoreboard& board,
              std::vector<std::int64_t> chosen, const Choice& choice);

/// Both measures of a network, before anything or after something is gone.
struct Standing {
  double performance = 0;
  std::vector<AxisBias> bias;
  at::Tensor performance_numbers;
};
Standing stand(const models::Model& model, const PerformanceMetric& performance, const BiasMetric& bias,
               const at::Tensor& whole_numbers = {});

/// Which of the points no other point beats: none is at least as low in every number and lower in one.
std::vector<bool> pareto_front(const std::vector<std::vector<double>>& points);

}  // namespace pollard::pruning::fairness
