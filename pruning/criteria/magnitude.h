// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/scores.h"

namespace pollard::pruning {

/// How one unit's parts (its slabs in several parameters) become one number.
enum class Reduce { Mean, Sum, Max, Prod, First };
/// How the scores of one group are put on a common scale with other groups'.
enum class Normalize {
  None,
  Sum,       ///< divided by their sum
  Mean,      ///< divided by their mean
  Max,       ///< divided by their maximum
  Gaussian,  ///< (score - mean) / standard deviation
  Lamp  ///< score over the sum of all scores not smaller (Lee et al., Layer-adaptive sparsity, ICLR 2021)
};

/// Magnitude: unit i of a group costs, from each parameter dimension that mentions the group's axis, the sum of |w|^p
/// over the whole slab that i covers there (all gates of an LSTM unit, every copy in a repeated dimension). Weights,
/// biases, embeddings, raw parameters and recurrent weights count; running statistics and constants do not.
/// There is no 1/p root, as in DepGraph (Fang et al., CVPR 2023). One read of the weights.
class Magnitude final : public Criterion {
 public:
  double p = 2;
  Reduce reduce = Reduce::Mean;
  Normalize normalize = Normalize::Mean;

  std::string name() const override;
  Scores score(const ScoreContext& context) const override;
};

/// Reduces the slabs' scores of one group (slabs x units) to one number a unit.
std::vector<double> reduce_slabs(const std::vector<std::vector<double>>& slabs, Reduce how);
void normalize(std::vector<double>& scores, Normalize how);

}  // namespace pollard::pruning
