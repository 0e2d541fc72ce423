// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "graph/removal.h"
#include "pruning/calibration.h"

namespace pollard::pruning {

struct RepairOptions {
  double ridge = 1e-3;  ///< relative to the mean diagonal of the inputs' second moments
  std::int64_t max_rows =
      1 << 17;  ///< rows (samples x positions) a layer is fitted on; more are thinned evenly
};

/// What the refit of one op did to its error on the calibration set, relative to the dense output's norm.
struct OpRepair {
  std::string op, parameter;
  double before = 0, after = 0;
};

struct RepairReport {
  std::vector<OpRepair> ops;
  std::vector<std::string> left;  ///< parameterised ops that were not refitted, with the reason
  std::int64_t samples = 0;
  double seconds = 0;
};

/// Refits what is left after pruning, without labels: every linear and convolution op in program order is solved so
/// that, fed what the already pruned and repaired network produces, it gives what the dense network gives at its kept
/// outputs (with an intercept where there is a bias; grouped convolutions per group):
///
///     min over W, b of |Y_dense[kept] - (X W' + b)|^2 + ridge |W - W_sliced|^2
///
/// One pass: the dense and the pruned network run in lock-step over the calibration set, and only the layer at hand is
/// in memory for both. Least-squares reconstruction of consumers as in OSSCAR (Meng et al., ICML 2024) and SlimGPT
/// (Ling et al., NeurIPS 2024), here applied to every layer in order.
/// `pruned` must be prune(dense, dependencies, removal); its weights are replaced.
RepairReport repair(models::Model& pruned, const models::Model& dense,
                    const graph::Dependencies& dependencies, const graph::Removal& removal,
                    const CalibrationSet& calibration, const RepairOptions& options = {});

}  // namespace pollard::pruning
