// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/random.h"

#include <random>

namespace pollard::pruning {

Scores Random::score(const ScoreContext& context) const {
  // mt19937_64 and the scaling below are fixed by the standard, so a seed means the same units everywhere.
  std::mt19937_64 generator(context.seed);
  Scores scores;
  for (const graph::Group& group : context.dependencies.groups) {
    std::vector<double> out(
        static_cast<std::size_t>(context.dependencies.axes[static_cast<std::size_t>(group.axis)].size));
    for (double& x : out) x = static_cast<double>(generator() >> 11) * 0x1.0p-53;
    scores.by_group.push_back(std::move(out));
  }
  return scores;
}

}  // namespace pollard::pruning
