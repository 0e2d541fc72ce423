// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/fpgm.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "pruning/criteria/options.h"

namespace pollard::pruning {
namespace {

/// Sums of distances between the rows of [units, width], in f64.
std::vector<double> distance_sums(const at::Tensor& rows, double p) {
  const at::Tensor sums = at::cdist(rows, rows, p, /*compute_mode=*/2).sum(1).contiguous();
  return {sums.const_data_ptr<double>(), sums.const_data_ptr<double>() + sums.numel()};
}

}  // namespace

Fpgm::Fpgm(CriterionOptions& options)
    : p(options.number("p", 2, 1e-3)), combine(Combine::from(options, {})) {}

std::string Fpgm::name() const { return fmt::format("fpgm:p={},{}", p, combine.text()); }

Scores Fpgm::score(const ScoreContext& context) const {
  const graph::Dependencies& d = context.dependencies;
  Scores scores;
  for (const graph::Group& group : d.groups) {
    const graph::Axis& axis = d.axes[static_cast<std::size_t>(group.axis)];
    std::vector<std::vector<double>> slabs;
    for (const graph::Member& m : axis.members) {
      const graph::Input& input = context.model.program.inputs[static_cast<std::size_t>(m.input)];
      if (input.kind != graph::Input::Kind::Parameter) continue;
      const at::Tensor weight = context.model.weights.at(input.source).detach().to(at::kDouble);
      if (weight.dim() < 2) continue;
      const auto units =
          indices_of_units(d, d[input.value].dims[static_cast<std::size_t>(m.dim)], group.axis);
      std::vector<at::Tensor> rows;
      for (const auto& unit : units)
        if (!unit.empty())
          rows.push_back(
              weight.index_select(m.dim, at::tensor(unit, at::TensorOptions().dtype(at::kLong))).flatten());
      if (rows.size() == units.size()) slabs.push_back(distance_sums(at::stack(rows), p));
    }
    scores.unjudged.emplace_back(slabs.empty() ? "it owns vectors only, which have no geometric median" : "");
    std::vector<double> out = reduce_slabs(slabs, combine.reduce);
    out.resize(static_cast<std::size_t>(axis.size), 0.0);
    normalize(out, combine.normalize);
    scores.by_group.push_back(std::move(out));
  }
  scores.comparable = combine.normalize != Normalize::None;
  return scores;
}

}  // namespace pollard::pruning
