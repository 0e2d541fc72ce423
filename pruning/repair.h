// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/removal.h"
#include "pruning/calibration.h"
#include "pruning/refit.h"

namespace pollard::pruning {

enum class RepairMethod {
  LeastSquares,  ///< every layer refitted in program order
  BatchNorm,     ///< the running statistics of batch norms measured again; no weight changes
  None
};
std::optional<RepairMethod> repair_method_from_string(std::string_view name);
std::string_view to_string(RepairMethod method);

struct RepairOptions {
  RepairMethod method = RepairMethod::LeastSquares;
  RefitOptions refit;
  bool only_sliced = false;  ///< refit only layers that lost units themselves
  /// Bound on the activations of both networks together, in each process; samples beyond it are left out.
  std::int64_t memory_bytes = std::int64_t{4} << 30;
};

/// What the refit of one op did to its error on the calibration set, relative to the dense output's norm.
struct OpRepair {
  std::string op, parameter;
  double before = 0, after = 0;
};

struct RepairReport {
  RepairMethod method = RepairMethod::None;
  std::vector<OpRepair> ops;
  std::vector<std::string> left;        ///< parameterised ops that were not refitted, with the reason
  std::int64_t samples = 0, given = 0;  ///< samples used, and how many there were
  std::int64_t activation_bytes =
      0;  ///< most bytes of activations alive at once, both networks, in this process
  double seconds = 0;
};

/// Repairs what is left after pruning, without labels. Least squares: every layer in program order (linear,
/// convolution, the scale and shift of norms, recurrent matrices) is solved so that, fed what the already pruned and
/// repaired network produces, it gives what the dense network gives at its kept outputs (with an intercept where there
/// is a bias; grouped convolutions per group; recurrent ops at their gates, pruning/refit_recurrent.h):
///
///     min over W, b of |Y_dense[kept] - (X W' + b)|^2 + ridge |W - W_sliced|^2
///
/// In a residual sum the target is what the sum lacks (pruning/residuals.h). Masked positions do not count.
/// One pass: the dense and the pruned network run in lock-step over the calibration set, and only the layer at hand is
/// in memory for both. Least-squares reconstruction of consumers as in OSSCAR (Meng et al., ICML 2024) and SlimGPT
/// (Ling et al., NeurIPS 2024), here applied to every layer in order.
/// `pruned` must be prune(dense, dependencies, removal); its weights are replaced. Processes that share the samples
/// (CalibrationSet::job) each run their own and sum the normal equations: all end with the same weights.
RepairReport repair(models::Model& pruned, const models::Model& dense,
                    const graph::Dependencies& dependencies, const graph::Removal& removal,
                    const CalibrationSet& calibration, const RepairOptions& options = {});

/// The cheap alternative: runs the samples once and gives every batch norm in program order the mean and variance of
/// what reaches it now. Exact for the samples, since later norms see what the earlier ones have become.
/// Processes that share the samples each run their own and sum moments.
RepairReport reestimate_batch_norms(models::Model& pruned, const CalibrationSet& calibration);

}  // namespace pollard::pruning
