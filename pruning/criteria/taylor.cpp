// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/taylor.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>

#include "pruning/activation_gradients.h"
#include "pruning/criteria/options.h"
#include "pruning/gradients.h"

namespace pollard::pruning {
namespace {

constexpr std::array<std::pair<std::string_view, Taylor::Form>, 3> kForms{
    {{"weight", Taylor::Form::Weight},
     {"joint", Taylor::Form::Joint},
     {"activation", Taylor::Form::Activation}}};

}  // namespace

Taylor::Taylor(CriterionOptions& options)
    : form(options.pick<Form>("form", kForms, Form::Weight)),
      loss(loss_from(options)),
      batch(options.integer("batch", 8)),
      combine(Combine::from(options, {})),
      biases(options.pick_yes("biases", true)) {}

std::string Taylor::name() const {
  return fmt::format("taylor:form={},loss={},batch={},{}{}", kForms[static_cast<std::size_t>(form)].first,
                     to_string(loss), batch, combine.text(), biases ? "" : ",biases=no");
}

Loss Taylor::chosen(const ScoreContext& context) const {
  if (loss != Loss::Auto) return loss;
  return context.calibration->labels.defined() ? Loss::Labels : Loss::Norm;
}

Scores Taylor::score(const ScoreContext& context) const {
  return form == Form::Activation ? from_activations(context) : from_weights(context);
}

Scores Taylor::from_weights(const ScoreContext& context) const {
  Gradients sums;
  double samples = 0;
  const SharedWork work = for_each_gradient(
      context, {.loss = chosen(context), .batch = batch},
      [&](const Gradients& gradients, std::int64_t count) {
        samples += static_cast<double>(count);
        for (const auto& [name, gradient] : gradients) {
          at::Tensor& sum = sums[name];
          sum = sum.defined() ? sum.add_(gradient) : gradient.to(at::kDouble, false, /*copy=*/true);
        }
      });
  work.sum(samples);
  for (auto& [name, sum] : sums) work.sum(sum);
  const std::set<graph::ValueId> left_out =
      biases ? std::set<graph::ValueId>{} : biases_of(context.model.program);
  return score_slabs(context, combine, [&](const graph::Input& input, std::span<const std::int64_t> dims) {
    std::vector<std::vector<double>> out;
    const auto found = sums.find(input.tied_to.empty() ? input.source : input.tied_to);
    if (found == sums.end() || left_out.contains(input.value)) return out;
    at::Tensor change =
        context.model.weights.at(input.source).detach().to(at::kDouble) * found->second / samples;
    if (form == Form::Weight) change = change.abs();
    for (std::int64_t dim : dims) out.push_back(sums_along(change, dim));
    return out;
  });
}

Scores Taylor::from_activations(const ScoreContext& context) const {
  const graph::Dependencies& d = context.dependencies;
  std::vector<std::vector<ConsumedUnits>> consumers(d.groups.size());
  ActivationGradients gradients(context, chosen(context), batch);
  for (std::size_t g = 0; g < d.groups.size(); ++g)
    for (const Consumer& consumer : consumers_of(d, g, gradients.contractions()))
      consumers[g].push_back({.consumer = consumer, .sum = {}, .channels = {}, .units = {}});
  double samples = 0;
  const SharedWork work = gradients.run(
      [&](std::size_t contraction, const at::Tensor& products) {
        for (auto& group : consumers)
          for (ConsumedUnits& c : group)
            if (c.consumer.observed == contraction) c.add(products);
      },
      samples);
  for (auto& group : consumers)
    for (ConsumedUnits& c : group) work.sum(c.sum);
  Scores scores;
  for (std::size_t g = 0; g < d.groups.size(); ++g) {
    std::vector<std::vector<double>> slabs;
    for (const ConsumedUnits& c : consumers[g])
      if (c.sum.defined()) slabs.push_back(c.means(samples));
    scores.unjudged.emplace_back(slabs.empty() ? "no layer whose input shows its activations reads it" : "");
    std::vector<double> out = reduce_slabs(slabs, combine.reduce);
    out.resize(static_cast<std::size_t>(d.axes[static_cast<std::size_t>(d.groups[g].axis)].size), 0.0);
    normalize(out, combine.normalize);
    scores.by_group.push_back(std::move(out));
  }
  scores.comparable = combine.normalize != Normalize::None;
  return scores;
}

}  // namespace pollard::pruning
