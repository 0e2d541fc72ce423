// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/criteria/slabs.h"

namespace pollard::pruning {

/// FPGM (He et al., Filter Pruning via Geometric Median, CVPR 2019): a unit near the geometric median of its layer can
/// be replaced by the others, so it scores the sum of its distances to them,
///
///     score(i) = sum over j of |w_i - w_j|_p
///
/// w_i: everything the unit owns in one dimension of one weight (all gates, all copies), reduced over weights.
/// Vectors (biases, norm scales) do not count: their distances say nothing of what a unit computes. Groups with vectors
/// alone cannot be judged. Units: those of the weights, then normalised. Cost: O(units^2 x weights of a unit) a weight.
class Fpgm final : public Criterion {
 public:
  explicit Fpgm(CriterionOptions& options);
  std::string name() const override;
  Scores score(const ScoreContext& context) const override;

  double p = 2;
  Combine combine;
};

}  // namespace pollard::pruning
