// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "pruning/eligible.h"
#include "pruning/scores.h"

namespace pollard::pruning {

/// What units are judged by beside the model itself; nullptr where there is none.
struct Evidence {
  const CalibrationSet* calibration = nullptr;
  StoredWeights* stored = nullptr;
};

/// The units of every group, least important first by the criterion of the options; ties by index.
class UnitOrder {
 public:
  /// Classes whose units cannot be judged, or have no finite scores, are marked as kept whole.
  /// Throws UserError E0325 for scores that are not finite, unless the options allow them.
  UnitOrder(const models::Model& model, const graph::Dependencies& dependencies, const PlanOptions& options,
            const Evidence& evidence, std::vector<Class>& classes);

  /// Mean score of the k-th least important unit over the class's groups.
  double unit_score(const Class& c, std::int64_t k) const;
  /// Sum of the scores of the first `units` units of all the class's groups.
  double summed_score(const Class& c, std::int64_t units) const;
  /// Which units leave a group when `units` of them do: sorted indices.
  std::vector<std::int64_t> first(std::int32_t group, std::int64_t units) const;
  /// Whether sums of scores are predicted errors on one scale.
  bool additive() const { return scores_.additive; }
  /// What scoring took.
  const std::vector<std::string>& notes() const { return scores_.notes; }

 private:
  void sort_units(bool allow_nonfinite);
  void keep_unjudged_whole(std::vector<Class>& classes) const;
  void keep_nonfinite_whole(std::vector<Class>& classes) const;

  Scores scores_;
  std::vector<std::vector<std::int64_t>> order_;  ///< by group
};

}  // namespace pollard::pruning
