// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/flap.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "pruning/criteria/options.h"

namespace pollard::pruning {

Flap::Flap(CriterionOptions& options)
    : rows(options.integer("rows", 1 << 17)),
      batch(options.integer("batch", 16)),
      combine(Combine::from(options, {.normalize = Normalize::Gaussian})) {}

std::string Flap::name() const {
  return fmt::format("flap:rows={},batch={},{}", rows, batch, combine.text());
}

Scores Flap::score(const ScoreContext& context) const {
  return score_channels(context, {.max_rows = rows, .batch = batch}, combine, [](const Observed& o) {
    const double n = o.input->rows;
    const at::Tensor variance = o.input->covariance(true) * (n > 1 ? n / (n - 1) : 1);
    const at::Tensor reach = o.weight.to(at::kDouble).square().sum(at::IntArrayRef{1, 3});
    return (variance * reach).sum(0);
  });
}

}  // namespace pollard::pruning
