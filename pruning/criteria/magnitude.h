// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/criteria/slabs.h"

namespace pollard::pruning {

/// Magnitude: unit i of a group costs, from each parameter dimension that mentions the group's axis, the sum of |w|^p
/// over the whole slab that i covers there (all gates of an LSTM unit, every copy in a repeated dimension). Weights,
/// biases, embeddings, raw parameters and recurrent weights count; running statistics and constants do not.
/// There is no 1/p root, as in DepGraph (Fang et al., CVPR 2023). With biases=no
/// what is only ever added does not count. Units: those of w^p, then normalised. Cost: one read of the weights.
class Magnitude final : public Criterion {
 public:
  Magnitude() = default;
  explicit Magnitude(CriterionOptions& options);

  double p = 2;
  Combine combine;
  bool biases = true;  ///< whether biases count

  std::string name() const override;
  Scores score(const ScoreContext& context) const override;
  bool needs_weights() const override { return false; }
};

}  // namespace pollard::pruning
