// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/fisher.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "pruning/criteria/options.h"
#include "pruning/gradients.h"

namespace pollard::pruning {

Fisher::Fisher(CriterionOptions& options)
    : loss(loss_from(options)),
      batch(options.integer("batch", 1)),
      combine(Combine::from(options, {.reduce = Reduce::Sum, .normalize = Normalize::None})),
      biases(options.pick_yes("biases", true)) {}

std::string Fisher::name() const {
  return fmt::format("fisher:loss={},batch={},{}{}", to_string(loss), batch, combine.text(),
                     biases ? "" : ",biases=no");
}

Scores Fisher::score(const ScoreContext& context) const {
  const Loss automatic = context.calibration->labels.defined() ? Loss::Labels : Loss::Noise;
  Gradients squares;
  double samples = 0;
  const SharedWork work = for_each_gradient(
      context, {.loss = loss == Loss::Auto ? automatic : loss, .batch = batch, .before_op = {}},
      [&](const Gradients& gradients, std::int64_t count) {
        samples += static_cast<double>(count);
        for (const auto& [name, gradient] : gradients) {
          at::Tensor& sum = squares[name];
          const at::Tensor square = gradient.to(at::kDouble).square();
          sum = sum.defined() ? sum.add_(square) : square;
        }
      });
  work.sum(samples);
  for (auto& [name, sum] : squares) work.sum(sum);
  const std::set<graph::ValueId> left_out =
      biases ? std::set<graph::ValueId>{} : biases_of(context.model.program);
  Scores scores =
      score_slabs(context, combine, [&](const graph::Input& input, std::span<const std::int64_t> dims) {
        std::vector<std::vector<double>> out;
        const auto found = squares.find(input.tied_to.empty() ? input.source : input.tied_to);
        if (found == squares.end() || left_out.contains(input.value)) return out;
        const at::Tensor weight = context.model.weights.at(input.source).detach().to(at::kDouble);
        const at::Tensor change = weight.square() * found->second * (0.5 / samples);
        for (std::int64_t dim : dims) out.push_back(sums_along(change, dim));
        return out;
      });
  scores.comparable = true;
  return scores;
}

}  // namespace pollard::pruning
