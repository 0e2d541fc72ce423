// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/obd_c.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "pruning/criteria/options.h"
#include "pruning/statistics.h"

namespace pollard::pruning {
namespace {

/// positions / 2 tr(S_bb W_b A W_b') of every unit; rows [unit][k] of all batches, one after the other.
std::vector<double> costs(const Observed& o, const std::vector<std::vector<std::int64_t>>& rows,
                          double positions) {
  const at::Tensor w = o.weight.to(at::kDouble).flatten(2);
  const at::Tensor inner =
      at::matmul(at::matmul(w, o.input->covariance(false)), w.transpose(1, 2));  // W A W'
  const at::Tensor& s = o.output_gradient;
  const std::int64_t outputs = w.size(1);
  std::vector<double> out;
  for (const auto& unit : rows) {
    double sum = 0;
    for (std::int64_t batch = 0; batch < w.size(0); ++batch) {
      std::vector<std::int64_t> own;
      for (std::int64_t row : unit)
        if (row / outputs == batch) own.push_back(row % outputs);
      if (own.empty()) continue;
      const at::Tensor at = at::tensor(own, at::TensorOptions().dtype(at::kLong));
      const auto block = [&](const at::Tensor& m) {
        return m[std::min(batch, m.size(0) - 1)].index_select(0, at).index_select(1, at);
      };
      const at::Tensor gradients =
          s.size(1) == outputs ? block(s) : at::eye(at.numel(), s.options()) * s.flatten()[0];
      sum += (gradients * block(inner)).sum().item<double>();
    }
    out.push_back(0.5 * positions * sum);
  }
  return out;
}

}  // namespace

ObdC::ObdC(CriterionOptions& options)
    : loss(loss_from(options)),
      rows(options.integer("rows", 1 << 17)),
      batch(options.integer("batch", 8)),
      combine(Combine::from(options, {.reduce = Reduce::Sum, .normalize = Normalize::None})) {}

std::string ObdC::name() const {
  return fmt::format("obd-c:loss={},rows={},batch={},{}", to_string(loss), rows, batch, combine.text());
}

Scores ObdC::score(const ScoreContext& context) const {
  const graph::Dependencies& d = context.dependencies;
  const Loss automatic = context.calibration->labels.defined() ? Loss::Labels : Loss::Noise;
  std::vector<Contraction> made;
  for (Contraction& c : find_contractions(context.model.program, d))
    if (c.rows.index >= 0) made.push_back(std::move(c));
  const Statistics statistics = gather(context, made,
                                       {.full = true,
                                        .gradients = true,
                                        .loss = loss == Loss::Auto ? automatic : loss,
                                        .max_rows = rows,
                                        .batch = batch});
  Scores scores;
  for (const graph::Group& group : d.groups) {
    std::vector<std::vector<double>> slabs;
    for (const Observed& o : statistics.observed) {
      if (!o.output_gradient.defined()) continue;
      const auto units = indices_of_units(d, o.contraction.rows, group.axis);
      const bool any = std::ranges::any_of(units, [](const auto& unit) { return !unit.empty(); });
      if (any) slabs.push_back(costs(o, units, o.input->total / statistics.samples));
    }
    scores.unjudged.emplace_back(slabs.empty() ? "no layer that is known makes it" : "");
    std::vector<double> out = reduce_slabs(slabs, combine.reduce);
    out.resize(static_cast<std::size_t>(d.axes[static_cast<std::size_t>(group.axis)].size), 0.0);
    normalize(out, combine.normalize);
    scores.by_group.push_back(std::move(out));
  }
  return scores;
}

}  // namespace pollard::pruning
