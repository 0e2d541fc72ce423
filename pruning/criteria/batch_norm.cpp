// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/batch_norm.h"

#include <set>

#include "kernels/slab_sums.h"

namespace pollard::pruning {

Scores BatchNormScale::score(const ScoreContext& context) const {
  std::set<graph::ValueId> scales;
  for (const graph::Op& op : context.model.program.ops)
    if (op.tensor("running_var"))  // instance and layer norms have none
      if (const auto weight = op.tensor("weight")) scales.insert(*weight);
  return score_slabs(
      context, combine,
      [&](const graph::Input& input, std::span<const std::int64_t> dims) {
        if (!scales.contains(input.value)) return std::vector<std::vector<double>>{};
        return kernels::slab_power_sums(context.model.weights.at(input.source), dims, 1);
      },
      "it passes through no batch norm with a scale");
}

}  // namespace pollard::pruning
