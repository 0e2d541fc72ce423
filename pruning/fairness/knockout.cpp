// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/knockout.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "graph/error.h"
#include "pruning/eligible.h"
#include "pruning/fairness/program_tail.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"

namespace pollard::pruning::fairness {
namespace {

using graph::Dependencies;
using graph::ValueId;

const graph::Axis& axis_of(const Dependencies& d, std::int32_t group) {
  return d.axes[static_cast<std::size_t>(d.groups[static_cast<std::size_t>(group)].axis)];
}

std::vector<Unit> units_of(const Dependencies& d, const std::function<bool(const graph::Axis&)>& wanted) {
  std::vector<Unit> out;
  for (std::int32_t g = 0; g < static_cast<std::int32_t>(d.groups.size()); ++g)
    if (wanted(axis_of(d, g)))
      for (std::int64_t u = 0; u < axis_of(d, g).size; ++u) out.push_back({.group = g, .unit = u});
  return out;
}

ValueId first_output(const graph::Program& program) {
  for (const graph::Output& output : program.outputs)
    if (const auto* id = output.value.as<ValueId>();
        id && output.kind == graph::Output::Kind::User && program[*id].kind == graph::Value::Kind::Tensor)
      return *id;
  POLLARD_CHECK(false, "the program returns no tensor");
}

/// The linear layer that makes the output, when one does: its rows can be computed apart.
std::optional<std::size_t> last_linear(const graph::Program& program) {
  const ValueId output = first_output(program);
  for (std::size_t i = program.ops.size(); i-- > 0;)
    if (std::ranges::find(program.ops[i].outputs, output) != program.ops[i].outputs.end())
      return program.ops[i].target == "aten.linear.default" && program[output].shape.size() == 3
                 ? std::optional(i)
                 : std::nullopt;
  return std::nullopt;
}

at::Tensor pick(const at::Tensor& tensor, const at::Tensor& rows) {
  return tensor.flatten(0, 1).index_select(0, rows);
}

}  // namespace

std::vector<Unit> attention_heads(const Dependencies& d) {
  return units_of(d, [](const graph::Axis& axis) { return axis.role == graph::Role::Head; });
}

std::vector<Unit> units_matching(const models::Model& model, const Dependencies& d,
                                 const std::vector<std::string>& patterns) {
  return units_of(d, [&](const graph::Axis& axis) {
    return std::ranges::any_of(axis.members, [&](const graph::Member& m) {
      const std::string& name = model.program.inputs[static_cast<std::size_t>(m.input)].source;
      return std::ranges::any_of(patterns, [&](const std::string& p) { return glob_match(p, name); });
    });
  });
}

graph::Removal removal_of(const Dependencies& d, std::span<const Unit> units) {
  graph::Removal out(d);
  for (const Unit& u : units)
    out.removed[static_cast<std::size_t>(d.groups[static_cast<std::size_t>(u.group)].axis)].push_back(u.unit);
  for (auto& removed : out.removed) std::ranges::sort(removed);
  return out;
}

std::string place_of(const models::Model& model, const Dependencies& d, const Unit& unit) {
  return model.program.inputs[static_cast<std::size_t>(axis_of(d, unit.group).members.back().input)].source;
}

struct Knockout::Impl {
  struct Tail {
    std::vector<std::size_t> ops;
    std::vector<ValueId> given;
    kernels::Executor executor;
    std::optional<std::size_t> linear;
    explicit Tail(ProgramTail&& tail)
        : ops(std::move(tail.ops)),
          given(std::move(tail.given)),
          executor(std::move(tail.program)),
          linear(last_linear(executor.program())) {}
  };

  Impl(models::Model m, const Dependencies& d, std::vector<Unit> u, std::optional<at::ScalarType> type,
       std::vector<Unit> g)
      : model(std::move(m)),
        dependencies(d),
        units(std::move(u)),
        compute_type(type),
        gone(std::move(g)),
        base(removal_of(d, gone)),
        dense(model.program),
        linear(last_linear(model.program)),
        in_place(std::ranges::any_of(model.program.ops,
                                     [](const graph::Op& op) { return op.base_name().ends_with('_'); })) {
    if (compute_type) model.weights = kernels::convert(model.weights, compute_type);
    for (const Unit& unit : units)
      if (!tails.contains(unit.group))
        tails.emplace(
            unit.group,
            tail_from(model.program, first_mixing_op(model.program, d, removal_of(d, std::vector{unit}))));
    for (const auto& [group, tail] : tails)
      for (const ValueId id : tail.given) crossing[id];
  }

  /// What is gone anyway, and unit `i`.
  graph::Removal without(std::size_t i) const {
    std::vector<Unit> both = gone;
    both.push_back(units[i]);
    return removal_of(dependencies, both);
  }
  kernels::Weights weights_without(const graph::Removal& removal) const {
    return removal.empty() ? model.weights : masked_weights(model, dependencies, removal);
  }
  kernels::RunOptions hooks(const graph::Removal& removal) const {
    return removal.empty() ? kernels::RunOptions() : masked_run_options(model.program, dependencies, removal);
  }

  /// The hooks of `options` after a choice of rows in front of the last linear op, when there is one.
  at::Tensor finish(const kernels::Executor& executor, const std::optional<std::size_t>& last,
                    const kernels::Weights& weights, const std::vector<at::Tensor>& inputs,
                    const std::optional<at::Tensor>& rows, kernels::RunOptions options) const {
    options.compute_type = compute_type;
    if (rows && last)
      options.before_op = [&, inner = options.before_op](const graph::Op& op, std::size_t index,
                                                         std::vector<c10::IValue>& stack) {
        if (index == *last) stack.front() = pick(stack.front().toTensor(), *rows).unsqueeze(0);
        return inner && inner(op, index, stack);
      };
    const at::Tensor output = executor.run(weights, inputs, options).front();
    if (!rows) return output;
    return last ? output.flatten(0, 1) : pick(output, *rows);
  }

  models::Model model;
  const Dependencies& dependencies;
  std::vector<Unit> units;
  std::optional<at::ScalarType> compute_type;
  std::vector<Unit> gone;
  graph::Removal base;
  kernels::Executor dense;
  std::optional<std::size_t> linear;
  bool in_place;                           ///< a later op may write into what an earlier one made
  std::map<std::int32_t, Tail> tails;      ///< by group
  std::map<ValueId, at::Tensor> crossing;  ///< the values some tail is given (no tensors: keys)
};

Knockout::Knockout(models::Model model, const Dependencies& dependencies, std::vector<Unit> units,
                   std::optional<at::ScalarType> compute_type, std::vector<Unit> gone)
    : impl_(std::make_unique<Impl>(std::move(model), dependencies, std::move(units), compute_type,
                                   std::move(gone))) {}
Knockout::~Knockout() = default;

const models::Model& Knockout::model() const { return impl_->model; }
const std::vector<Unit>& Knockout::units() const { return impl_->units; }

models::Model Knockout::without(std::int64_t unit) const {
  const Impl& m = *impl_;
  const graph::Removal removal = unit < 0 ? m.base : m.without(static_cast<std::size_t>(unit));
  bool renormalised = false;
  for (std::size_t axis = 0; axis < removal.removed.size(); ++axis)
    renormalised = renormalised || (!removal.removed[axis].empty() && m.dependencies.axes[axis].renormalised);
  if (renormalised) return prune(m.model, m.dependencies, removal);
  models::Model out = m.model;
  out.weights = m.weights_without(removal);
  return out;
}

void Knockout::run(const std::vector<at::Tensor>& inputs, const std::optional<at::Tensor>& rows,
                   const Wanted& wanted, const Visit& visit) const {
  const Impl& m = *impl_;
  std::map<ValueId, at::Tensor> values = m.crossing;
  for (std::size_t next = 0; const graph::Input* input : m.model.program.user_inputs())
    if (!input->constant && m.model.program[input->value].kind == graph::Value::Kind::Tensor)
      values[input->value] = inputs.at(next++);
  kernels::RunOptions keep = m.hooks(m.base);
  keep.after_value = [&, masked = keep.after_value](ValueId id, at::Tensor& tensor) {
    if (masked) masked(id, tensor);
    if (const auto found = values.find(id); found != values.end())
      found->second = m.in_place ? tensor.clone() : tensor;
  };
  visit(-1, m.finish(m.dense, m.linear, m.weights_without(m.base), inputs, rows, std::move(keep)));
  for (std::size_t i = 0; i < m.units.size(); ++i) {
    if (!wanted(static_cast<std::int64_t>(i))) continue;
    const graph::Removal removal = m.without(i);
    const Impl::Tail& tail = m.tails.at(m.units[i].group);
    kernels::RunOptions options = m.hooks(removal);
    options.before_op = [&, masked = options.before_op](const graph::Op& op, std::size_t index,
                                                        std::vector<c10::IValue>& stack) {
      return masked(op, tail.ops[index], stack);
    };
    std::vector<at::Tensor> given;
    for (const ValueId id : tail.given)
      given.push_back(zero_removed(m.dependencies, id, removal, values.at(id)));
    visit(static_cast<std::int64_t>(i),
          m.finish(tail.executor, tail.linear, m.weights_without(removal), given, rows, std::move(options)));
  }
}

void Knockout::run_naively(const std::vector<at::Tensor>& inputs, const std::optional<at::Tensor>& rows,
                           const Wanted& wanted, const Visit& visit) const {
  const Impl& m = *impl_;
  const auto whole = [&](const kernels::Weights& weights, kernels::RunOptions options) {
    options.compute_type = m.compute_type;
    const at::Tensor output = m.dense.run(weights, inputs, options).front();
    return rows ? pick(output, *rows) : output;
  };
  visit(-1, whole(m.weights_without(m.base), m.hooks(m.base)));
  for (std::size_t i = 0; i < m.units.size(); ++i) {
    if (!wanted(static_cast<std::int64_t>(i))) continue;
    const graph::Removal removal = m.without(i);
    visit(static_cast<std::int64_t>(i), whole(m.weights_without(removal), m.hooks(removal)));
  }
}

}  // namespace pollard::pruning::fairness
