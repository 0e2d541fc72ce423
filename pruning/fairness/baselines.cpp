// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/baselines.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "pruning/scores.h"

namespace pollard::pruning::fairness {
namespace {

using graph::Dependencies;
using graph::ValueId;

graph::AxisIndex axis_index(const Dependencies& d, std::int32_t group) {
  return d.groups[static_cast<std::size_t>(group)].axis;
}

bool mentions(const Dependencies& d, ValueId id, const graph::Removal& removal) {
  return std::ranges::any_of(d[id].dims, [&](graph::TermId t) { return graph::touched(d, t, removal); });
}

/// Values with the group's axis that an op turns into values without it: activations, not weights.
std::vector<ValueId> outlets(const graph::Program& program, const Dependencies& d, std::int32_t group) {
  const graph::Removal removal = removal_of(d, std::vector{Unit{.group = group, .unit = 0}});
  std::vector<bool> stored(program.values.size(), false);
  for (const graph::Input& input : program.inputs)
    if (!input.constant && input.kind != graph::Input::Kind::User)
      stored[static_cast<std::size_t>(input.value.index)] = true;
  std::vector<ValueId> out;
  for (const graph::Op& op : program.ops) {
    bool all_stored = true;
    for (const graph::NamedArg& named : op.args)
      for (const ValueId id : graph::values_in(named.arg))
        all_stored = all_stored && stored[static_cast<std::size_t>(id.index)];
    for (const ValueId id : op.outputs) stored[static_cast<std::size_t>(id.index)] = all_stored;
    if (std::ranges::any_of(op.outputs, [&](ValueId id) { return mentions(d, id, removal); })) continue;
    for (const graph::NamedArg& named : op.args)
      for (const ValueId id : graph::values_in(named.arg))
        if (!stored[static_cast<std::size_t>(id.index)] && mentions(d, id, removal) &&
            std::ranges::find(out, id) == out.end())
          out.push_back(id);
  }
  return out;
}

/// Multiplies a value by the mask of its group along every dimension that has the group's axis.
class Masks {
 public:
  Masks(const graph::Program& program, const Dependencies& d, const std::vector<Unit>& units) : d_(d) {
    for (const Unit& u : units) {
      if (masks_.contains(u.group)) continue;
      const std::int64_t size = d.axes[static_cast<std::size_t>(axis_index(d, u.group))].size;
      masks_[u.group] = at::ones({size}, at::kFloat).requires_grad_(true);
      const std::vector<ValueId> places = outlets(program, d, u.group);
      if (places.empty())
        throw UserError({.code = "E0203",
                         .exit = Exit::Usage,
                         .subject = "--method gradient",
                         .message = "the units of group " + d.groups[static_cast<std::size_t>(u.group)].id +
                                    " leave it nowhere, so no mask can be put on them",
                         .where = {},
                         .why = {},
                         .help = "take another method"});
      for (const ValueId id : places) at_[id].push_back(u.group);
    }
  }

  void apply(ValueId id, at::Tensor& tensor) const {
    const auto found = at_.find(id);
    if (found == at_.end()) return;
    for (const std::int32_t group : found->second)
      for (std::size_t dim = 0; dim < d_[id].dims.size(); ++dim)
        tensor = tensor * spread(group, d_[id].dims[dim], tensor, static_cast<std::int64_t>(dim));
  }

  const std::map<std::int32_t, at::Tensor>& by_group() const { return masks_; }

 private:
  at::Tensor spread(std::int32_t group, graph::TermId term, const at::Tensor& like, std::int64_t dim) const {
    const at::Tensor& mask = masks_.at(group);
    std::vector<std::int64_t> index = graph::unit_of_index(d_, term, axis_index(d_, group));
    if (std::ranges::all_of(index, [](std::int64_t i) { return i < 0; })) return at::ones({}, like.options());
    for (std::int64_t& i : index)
      if (i < 0) i = mask.size(0);  // other segments: the 1 behind the mask
    std::vector<std::int64_t> shape(static_cast<std::size_t>(like.dim()), 1);
    shape[static_cast<std::size_t>(dim)] = -1;
    return at::cat({mask, at::ones({1}, mask.options())})
        .index_select(0, at::tensor(index, at::kLong))
        .to(like.scalar_type())
        .view(shape);
  }

  const Dependencies& d_;
  std::map<std::int32_t, at::Tensor> masks_;
  std::map<ValueId, std::vector<std::int32_t>> at_;
};

void divide_by_largest(std::vector<double>& scores) {
  const double largest = scores.empty() ? 0 : std::ranges::max(scores);
  for (double& s : scores) s = largest > 0 ? s / largest : 0;
}

}  // namespace

std::vector<double> magnitude_scores(const models::Model& model, const Dependencies& d,
                                     const std::vector<Unit>& units) {
  const Scores squares =
      make_criterion("magnitude:p=2,reduce=sum,normalize=none")->score({.model = model, .dependencies = d});
  std::vector<double> out;
  for (const Unit& u : units)
    out.push_back(
        std::sqrt(squares.by_group[static_cast<std::size_t>(u.group)][static_cast<std::size_t>(u.unit)]));
  divide_by_largest(out);
  return out;
}

std::function<at::Tensor(const at::Tensor&)> unit_loss(std::uint64_t seed) {
  return [generator = at::detail::createCPUGenerator(seed)](const at::Tensor& numbers) {
    if (numbers.size(1) == 1) return numbers.mean().neg();
    return numbers.mul(at::randn(numbers.sizes(), generator, numbers.options())).sum();
  };
}

std::vector<double> gradient_scores(const models::Model& model, const Dependencies& d,
                                    const std::vector<Unit>& units, const Probe& probe,
                                    const std::function<at::Tensor(const at::Tensor&)>& loss) {
  const Masks masks(model.program, d, units);
  const kernels::Executor executor(model.program);
  kernels::RunOptions options;
  options.autograd = true;
  options.after_value = [&](ValueId id, at::Tensor& tensor) { masks.apply(id, tensor); };
  std::map<std::int32_t, at::Tensor> sums;
  for (const auto& [group, mask] : masks.by_group()) sums[group] = at::zeros(mask.sizes(), at::kDouble);
  for (std::int64_t batch = 0; batch < probe.batches(); ++batch) {
    at::Tensor output = executor.run(model.weights, probe.inputs(batch), options).front();
    if (const auto rows = probe.rows(batch)) output = output.flatten(0, 1).index_select(0, *rows);
    loss(probe.read(batch, output)).backward();
    for (const auto& [group, mask] : masks.by_group()) {
      sums[group] += mask.grad().abs();
      mask.mutable_grad() = at::Tensor();
    }
    models::io::throw_if_cancelled();
  }
  std::vector<double> out;
  for (const Unit& u : units) {
    const at::Tensor& of_group = sums.at(u.group);
    out.push_back(of_group[u.unit].item<double>() / (of_group.norm().item<double>() + 1e-20));
  }
  divide_by_largest(out);
  return out;
}

}  // namespace pollard::pruning::fairness
