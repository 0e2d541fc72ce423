// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/wanda.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "pruning/criteria/options.h"

namespace pollard::pruning {

Wanda::Wanda(CriterionOptions& options)
    : rows(options.integer("rows", 1 << 17)),
      batch(options.integer("batch", 16)),
      combine(Combine::from(options, {})) {}

std::string Wanda::name() const {
  return fmt::format("wanda:rows={},batch={},{}", rows, batch, combine.text());
}

Scores Wanda::score(const ScoreContext& context) const {
  return score_channels(context, {.max_rows = rows, .batch = batch}, combine, [](const Observed& o) {
    const at::Tensor reach = o.weight.to(at::kDouble).abs().sum(at::IntArrayRef{1, 3});  // [batch, channels]
    return (o.input->covariance(false).sqrt() * reach).sum(0);
  });
}

Scores score_channels(const ScoreContext& context, const StatisticsOptions& options, const Combine& combine,
                      const ChannelScore& score) {
  const std::size_t groups = context.dependencies.groups.size();
  Scores scores{.by_group = no_scores(context.dependencies),
                .comparable = combine.normalize != Normalize::None,
                .unjudged = std::vector<std::string>(groups),
                .refine = {}};
  scores.notes.push_back(for_each_group(context, options, [&](const GroupStatistics& group) {
    if (!group.unjudged.empty()) {
      scores.unjudged[group.index] = group.unjudged;
      return;
    }
    std::vector<std::vector<double>> slabs;
    for (const Consumer& consumer : group.consumers) {
      const Observed& o = group.statistics->observed[consumer.observed];
      if (!o.input->second.defined()) continue;
      const at::Tensor channels = score(o).contiguous();
      std::vector<double> slab(group.units, 0);
      for (std::size_t unit = 0; unit < group.units; ++unit)
        for (std::int64_t channel : consumer.channels[unit])
          slab[unit] += channels.const_data_ptr<double>()[channel];
      slabs.push_back(std::move(slab));
    }
    std::vector<double> out = reduce_slabs(slabs, combine.reduce);
    out.resize(group.units, 0.0);
    normalize(out, combine.normalize);
    scores.by_group[group.index] = std::move(out);
    if (slabs.empty()) scores.unjudged[group.index] = "no layer that is known reads it";
  }));
  return scores;
}

}  // namespace pollard::pruning
