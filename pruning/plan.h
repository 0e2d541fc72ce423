// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/cost.h"
#include "graph/removal.h"
#include "models/model.h"
#include "pruning/scores.h"

namespace pollard::pruning {

enum class Scope {
  Local,       ///< every group loses the same share
  Global,      ///< all units ranked together
  Isomorphic,  ///< units ranked within groups of the same kind
  // Not a ranking of units but a choice of widths: an error curve a group, their sum minimised under the budgets.
  Predicted,  ///< curves are sums of the criterion's scores, which must be errors (least-squares)
  Measured    ///< curves are measured: each group pruned alone, its layers refitted, the outputs compared
};
std::optional<Scope> scope_from_string(std::string_view name);
std::string_view to_string(Scope scope);

/// What to remove: a ratio, or any of the budgets together, or only ratios of heads and layers.
struct PlanOptions {
  std::optional<double> ratio;  ///< share of the units of every group (or of all, by scope)
  std::optional<std::int64_t> max_parameters;
  std::optional<std::int64_t> max_macs;
  std::optional<double> speedup;                     ///< MACs before / MACs after
  std::optional<std::int64_t> max_activation_bytes;  ///< of the worst moment, at the example input
  std::optional<std::int64_t> max_stored_bytes;      ///< of the file: weights, buffers and file_overhead
  std::int64_t file_overhead = 0;                    ///< bytes of a file that are no weights
  std::optional<double>
      max_seconds;  ///< of one run on this machine, at the example input (pruning/latency.h)
  std::optional<double> seconds_share;  ///< the same, as a share of what the network takes now
  std::string latency_table;            ///< file of measured op times; "" keeps none
  bool has_latency() const { return max_seconds || seconds_share; }
  bool has_budget() const {
    return max_parameters || max_macs || speedup || max_activation_bytes || max_stored_bytes || has_latency();
  }
  std::optional<Scope> scope;  ///< default: Local with ratio, Global with budgets
  std::string criterion = "magnitude";
  std::optional<double> heads, head_dim;  ///< ratios of their own for attention heads and head dims
  std::vector<std::pair<std::string, double>> layers;  ///< name pattern -> ratio of the groups it touches
  std::vector<std::string> ignore, only;               ///< glob patterns on parameter names
  std::int64_t min_width = 1;                          ///< no group gets narrower
  double max_ratio = 1.0;                              ///< no group loses a larger share
  std::int64_t round_to = 1;                           ///< widths stay multiples of this
  bool round_measured = false;                         ///< or of what runs fast here (pruning/op_times.h)
  bool exact_only = false;                             ///< leave renormalised groups whole
  bool allow_nonfinite = false;  ///< keep units without a finite score whole instead of refusing (E0325)
  std::uint64_t seed = 0;
};

/// The scope of the options, or the default for their target.
Scope effective_scope(const PlanOptions& options);

/// One group's fate.
struct GroupPlan {
  std::int32_t group = -1;            ///< index into Dependencies::groups
  std::vector<std::int64_t> removed;  ///< sorted unit indices
  std::string kept_whole;             ///< why nothing was removed, when the options asked for some
};

/// Seconds of one run: what a latency budget was planned with.
struct Forecast {
  double dense = 0, most = 0, pruned = 0;          ///< measured, asked for, predicted
  double measured_dense = 0, measured_pruned = 0;  ///< in turn, after planning; 0 where that was not done
  /// By what part the measurement exceeds what was asked for, had the machine been as busy as when it was planned; 0
  /// within 3 %, by which two measurements of one network differ.
  double over() const;
};

/// What leaves: the whole decision, before any weight is touched.
struct Plan {
  PlanOptions options;
  graph::Removal removal;         ///< by axis
  std::vector<GroupPlan> groups;  ///< one a group
  graph::Cost before, after;
  std::optional<Forecast> latency;
  std::vector<std::string> warnings;
  std::vector<std::string> notes;  ///< what scoring took
  bool empty() const { return removal.empty(); }
};

/// Scores units and selects which go, to within one unit of the target (the last unit that still overshoots it is
/// removed). Throws UserError E0430 when the target cannot be met, with how much is missing and why.
/// `stored`: weights that stay on disk, for criteria that need no more than their sums or a run over samples, part by
/// part (E0461 for others).
/// `calibration`: samples for criteria that look at data (E0210 when such a criterion gets none).
Plan make_plan(const models::Model& model, const graph::Dependencies& dependencies,
               const PlanOptions& options, const CalibrationSet* calibration = nullptr,
               StoredWeights* stored = nullptr);

/// Canonical JSON "pollard.plan/1": input hash, options, groups with removed units, and for every parameter that
/// changes its name, original shape and the kept indices of each changed dimension. Bit for bit reproducible.
std::string to_json(const Plan& plan, const models::Model& model, const graph::Dependencies& dependencies);

/// What was asked for, as such a JSON records it.
std::string to_json(const PlanOptions& options);

/// Reads such a JSON back against the same model. Throws UserError E0380..E0384 (Exit::BadFile) when it belongs to
/// another model, or its indices are unsorted, duplicate, out of range or leave nothing.
Plan plan_from_json(std::string_view json, const models::Model& model,
                    const graph::Dependencies& dependencies);

/// SHA-256 of the canonical JSON, hex.
std::string plan_hash(std::string_view json);

}  // namespace pollard::pruning
