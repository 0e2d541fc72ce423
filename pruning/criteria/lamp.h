// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/criteria/magnitude.h"

namespace pollard::pruning {

/// LAMP (Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning, ICLR 2021): the squared magnitude of a unit
/// over the sum of all squared magnitudes in its group that are not smaller,
///
///     score(u) = m(u) / sum over v with m(v) >= m(u) of m(v),    m = magnitude with p=2
///
/// so the largest unit of every group scores 1 and groups can be ranked together. The paper scores single weights;
/// this is its form for units, magnitude:normalize=lamp under its own name. Units: none. Cost: one read of the weights.
class Lamp final : public Criterion {
 public:
  explicit Lamp(CriterionOptions& options);
  std::string name() const override;
  Scores score(const ScoreContext& context) const override { return magnitude_.score(context); }
  bool needs_weights() const override { return false; }

 private:
  Magnitude magnitude_;
};

}  // namespace pollard::pruning
