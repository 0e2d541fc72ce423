// SPDX-License-Identifier: Apache-2.0
#include "graph/cost.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "graph/saturating.h"

namespace pollard::graph {
namespace {

/// Ops whose result shares its operand's memory.
bool is_view(std::string_view name) {
  static const std::set<std::string_view> kViews{
      "view",      "_unsafe_view", "reshape",   "flatten", "unflatten",        "squeeze",
      "unsqueeze", "permute",      "transpose", "t",       "expand",           "expand_as",
      "view_as",   "select",       "slice",     "split",   "split_with_sizes", "chunk",
      "unbind",    "narrow",       "alias",     "detach",  "dropout",          "contiguous",
      "to",        "movedim",      "numpy_T",   "mT"};
  return kViews.contains(name) || name.ends_with('_');
}

}  // namespace

CostModel::CostModel(const Program& program, const Dependencies& dependencies)
    : program_(program), dependencies_(dependencies), node_of_term_(dependencies.terms.count(), -1) {
  for (const graph::Monomial& m : dependencies.macs) macs_.push_back(compile(m.coefficient, m.terms, m.op));
  compile_stored();
  compile_activations();
}

std::int32_t CostModel::compile(TermId term) {
  const Terms& terms = dependencies_.terms;
  term = terms.find(term);
  if (const std::int32_t known = node_of_term_[static_cast<std::size_t>(term.index)]; known >= 0)
    return known;
  Node node{.kind = Node::Kind::Constant, .value = terms.size(term)};
  if (terms.kind(term) == Terms::Kind::Axis) {
    const AxisIndex axis = dependencies_.axis_of(term);
    // Only what can shrink stays symbolic.
    if (axis >= 0 && !dependencies_.axes[static_cast<std::size_t>(axis)].frozen)
      node = {.kind = Node::Kind::Width, .value = axis};
  } else {
    const bool product = terms.kind(term) == Terms::Kind::Product;
    const std::vector<TermId> parts = product ? terms.factors(term) : terms.segments(term);
    std::vector<std::int32_t> compiled;
    for (TermId part : parts) compiled.push_back(compile(part));
    const bool constant = std::ranges::all_of(compiled, [&](std::int32_t c) {
      return nodes_[static_cast<std::size_t>(c)].kind == Node::Kind::Constant;
    });
    if (!constant) {
      node = {.kind = product ? Node::Kind::Product : Node::Kind::Sum,
              .value = 0,
              .first = static_cast<std::int32_t>(children_.size()),
              .count = static_cast<std::int32_t>(compiled.size())};
      children_.insert(children_.end(), compiled.begin(), compiled.end());
    }
  }
  nodes_.push_back(node);
  return node_of_term_[static_cast<std::size_t>(term.index)] = static_cast<std::int32_t>(nodes_.size() - 1);
}

CostModel::Monomial CostModel::compile(std::int64_t coefficient, const std::vector<TermId>& terms,
                                       std::int32_t owner) {
  Monomial out{.coefficient = coefficient, .factors = {}, .owner = owner};
  for (TermId term : terms) {
    const std::int32_t node = compile(term);
    if (nodes_[static_cast<std::size_t>(node)].kind == Node::Kind::Constant)
      out.coefficient = times(out.coefficient, nodes_[static_cast<std::size_t>(node)].value);
    else
      out.factors.push_back(node);
  }
  return out;
}

void CostModel::compile_stored() {
  for (std::size_t i = 0; i < program_.inputs.size(); ++i) {
    const Input& input = program_.inputs[i];
    if (input.constant || input.kind == Input::Kind::User || !input.tied_to.empty()) continue;
    stored_.push_back(compile(1, dependencies_[input.value].dims, static_cast<std::int32_t>(i)));
  }
}

void CostModel::compile_activations() {
  std::vector<std::int32_t> last(program_.values.size(), -1), made(program_.values.size(), -1),
      storage(program_.values.size(), -1);
  for (std::int32_t v = 0; v < static_cast<std::int32_t>(storage.size()); ++v)
    storage[static_cast<std::size_t>(v)] = v;
  const auto touch = [&](const Arg& arg, std::int32_t at) {
    for (ValueId id : values_in(arg))
      last[static_cast<std::size_t>(storage[static_cast<std::size_t>(id.index)])] = at;
  };
  const auto n = static_cast<std::int32_t>(program_.ops.size());
  for (std::int32_t i = 0; i < n; ++i) {
    const Op& op = program_.ops[static_cast<std::size_t>(i)];
    std::int32_t first = -1;
    for (const NamedArg& named : op.args) {
      touch(named.arg, i);
      for (ValueId id : values_in(named.arg))
        if (first < 0) first = id.index;
    }
    for (ValueId id : op.outputs) {
      made[static_cast<std::size_t>(id.index)] = last[static_cast<std::size_t>(id.index)] = i;
      if (first >= 0 && is_view(op.base_name()))
        storage[static_cast<std::size_t>(id.index)] = storage[static_cast<std::size_t>(first)];
    }
  }
  for (const Output& output : program_.outputs) touch(output.value, n);
  for (std::int32_t v = 0; v < static_cast<std::int32_t>(program_.values.size()); ++v) {
    const auto at = static_cast<std::size_t>(v);
    if (made[at] < 0 || storage[at] != v || program_.values[at].kind != Value::Kind::Tensor) continue;
    activations_.push_back(compile(dtype_size(program_.values[at].dtype), dependencies_.values[at].dims,
                                   static_cast<std::int32_t>(lifetimes_.size())));
    lifetimes_.push_back({.value = v, .made = made[at], .last = last[at]});
  }
}

std::int64_t CostModel::eval(std::int32_t index, const Widths& widths) const {
  const Node& node = nodes_[static_cast<std::size_t>(index)];
  switch (node.kind) {
    case Node::Kind::Constant: return node.value;
    case Node::Kind::Width: return widths[static_cast<std::size_t>(node.value)];
    case Node::Kind::Product:
    case Node::Kind::Sum: break;
  }
  std::int64_t out = node.kind == Node::Kind::Product ? 1 : 0;
  for (std::int32_t i = node.first; i < node.first + node.count; ++i) {
    const std::int64_t part = eval(children_[static_cast<std::size_t>(i)], widths);
    out = node.kind == Node::Kind::Product ? times(out, part) : plus(out, part);
  }
  return out;
}

std::int64_t CostModel::eval(const Monomial& monomial, const Widths& widths) const {
  std::int64_t out = monomial.coefficient;
  for (std::int32_t factor : monomial.factors) out = times(out, eval(factor, widths));
  return out;
}

std::int64_t CostModel::parameters(const Widths& widths) const {
  std::int64_t total = 0;
  for (const Monomial& m : stored_)
    if (program_.inputs[static_cast<std::size_t>(m.owner)].kind == Input::Kind::Parameter)
      total = plus(total, eval(m, widths));
  return total;
}

std::int64_t CostModel::macs(const Widths& widths) const {
  std::int64_t total = 0;
  for (const Monomial& m : macs_) total = plus(total, eval(m, widths));
  return total;
}

std::vector<std::int64_t> CostModel::macs_by_op(const Widths& widths) const {
  std::vector<std::int64_t> out(program_.ops.size(), 0);
  for (const Monomial& m : macs_) {
    std::int64_t& own = out[static_cast<std::size_t>(m.owner)];
    own = plus(own, eval(m, widths));
  }
  return out;
}

Cost CostModel::evaluate(const Widths& widths) const {
  Cost cost{.parameters = parameters(widths), .macs = macs(widths)};
  for (const Monomial& m : stored_) {
    const Input& input = program_.inputs[static_cast<std::size_t>(m.owner)];
    const std::int64_t bytes = times(eval(m, widths), dtype_size(program_[input.value].dtype));
    if (input.kind == Input::Kind::Parameter) cost.parameter_bytes = plus(cost.parameter_bytes, bytes);
    if (input.persistent) cost.stored_bytes = plus(cost.stored_bytes, bytes);
  }
  std::vector<std::int64_t> change(program_.ops.size() + 2, 0);
  for (const Monomial& m : activations_) {
    const Lifetime& life = lifetimes_[static_cast<std::size_t>(m.owner)];
    const std::int64_t bytes = eval(m, widths);
    std::int64_t &more = change[static_cast<std::size_t>(life.made)],
                 &less = change[static_cast<std::size_t>(life.last) + 1];
    more = plus(more, bytes);
    less = plus(less, -bytes);
  }
  std::int64_t live = 0;
  for (std::int64_t delta : change) {
    live = plus(live, delta);
    cost.peak_activation_bytes = std::max(cost.peak_activation_bytes, live);
  }
  return cost;
}

void CostModel::collect_axes(std::int32_t index, std::vector<AxisIndex>& axes) const {
  const Node& node = nodes_[static_cast<std::size_t>(index)];
  if (node.kind == Node::Kind::Width) axes.push_back(static_cast<AxisIndex>(node.value));
  for (std::int32_t i = node.first; i < node.first + node.count; ++i)
    collect_axes(children_[static_cast<std::size_t>(i)], axes);
}

/// `widths` come back as they were.
void CostModel::add_shares(const Monomial& monomial, Widths& widths, std::int64_t Cost::*part,
                           std::vector<Cost>& out) const {
  std::vector<AxisIndex> axes;
  for (const std::int32_t factor : monomial.factors) collect_axes(factor, axes);
  std::ranges::sort(axes);
  axes.erase(std::ranges::unique(axes).begin(), axes.end());
  const std::int64_t full = eval(monomial, widths);
  for (const AxisIndex axis : axes) {
    const std::int64_t width = std::exchange(widths[static_cast<std::size_t>(axis)], 0);
    out[static_cast<std::size_t>(axis)].*part += full - eval(monomial, widths);
    widths[static_cast<std::size_t>(axis)] = width;
  }
}

std::vector<Cost> CostModel::shares() const {
  Widths widths = full_widths(dependencies_);
  std::vector<Cost> out(dependencies_.axes.size());
  for (const Monomial& m : stored_)
    if (program_.inputs[static_cast<std::size_t>(m.owner)].kind == Input::Kind::Parameter)
      add_shares(m, widths, &Cost::parameters, out);
  for (const Monomial& m : macs_) add_shares(m, widths, &Cost::macs, out);
  return out;
}

}  // namespace pollard::graph
