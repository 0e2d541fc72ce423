// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/magnitude.h"

#include <cmath>

#include "kernels/slab_sums.h"
#include "pruning/criteria/options.h"

namespace pollard::pruning {

Magnitude::Magnitude(CriterionOptions& options)
    : p(options.number("p", 2, 1e-3)),
      combine(Combine::from(options, {})),
      biases(options.pick_yes("biases", true)) {}

std::string Magnitude::name() const {
  const double whole = std::round(p);
  const std::string power = whole == p ? std::to_string(static_cast<int>(p)) : std::to_string(p);
  return "magnitude:p=" + power + "," + combine.text() + (biases ? "" : ",biases=no");
}

Scores Magnitude::score(const ScoreContext& context) const {
  const std::set<graph::ValueId> left_out =
      biases ? std::set<graph::ValueId>{} : biases_of(context.model.program);
  return score_slabs(context, combine, [&](const graph::Input& input, std::span<const std::int64_t> dims) {
    if (left_out.contains(input.value)) return std::vector<std::vector<double>>{};
    if (context.stored) return context.stored->power_sums(input.source, dims, p);
    return kernels::slab_power_sums(context.model.weights.at(input.source), dims, p);
  });
}

}  // namespace pollard::pruning
