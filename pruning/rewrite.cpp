// SPDX-License-Identifier: Apache-2.0
#include "pruning/rewrite.h"

#include <set>

#include "graph/error.h"
#include "graph/op_rules.h"
#include "kernels/slice_gather.h"

namespace pollard::pruning {

using graph::Dependencies;
using graph::Program;
using graph::Removal;

namespace {

/// Shapes of all tensor values at the new widths; strides become contiguous where a shape changed.
void resize_values(Program& program, const Dependencies& dependencies, const graph::Widths& widths) {
  for (std::size_t v = 0; v < dependencies.values.size(); ++v) {
    graph::Value& value = program.values[v];
    const std::vector<graph::TermId>& dims = dependencies.values[v].dims;
    bool changed = false;
    for (std::size_t d = 0; d < dims.size(); ++d) {
      const std::int64_t before = dependencies.terms.size(dims[d]);
      const std::int64_t after = graph::size_at(dependencies, dims[d], widths);
      if (after == before) continue;
      graph::Size& size = value.shape[d];
      size.hint = after;
      // A length of (symbols) x (axis) scales with the axis.
      if (size.symbolic())
        size.expr = "((" + size.expr + ")*" + std::to_string(after) + ")//" + std::to_string(before);
      changed = true;
    }
    if (!changed) continue;
    value.strides.clear();
    value.stride_exprs.clear();
  }
}

bool any_resized(const Dependencies& dependencies, const graph::Widths& widths, const graph::Op& op) {
  const auto resized = [&](graph::ValueId id) {
    for (graph::TermId term : dependencies[id].dims)
      if (graph::size_at(dependencies, term, widths) != dependencies.terms.size(term)) return true;
    return false;
  };
  for (graph::ValueId id : op.outputs)
    if (resized(id)) return true;
  for (const graph::NamedArg& named : op.args)
    for (graph::ValueId id : graph::values_in(named.arg))
      if (resized(id)) return true;
  return false;
}

}  // namespace

std::map<std::int64_t, std::vector<std::int64_t>> kept_of(const Dependencies& dependencies,
                                                          graph::ValueId value, const Removal& removal) {
  std::map<std::int64_t, std::vector<std::int64_t>> kept;
  const std::vector<graph::TermId>& dims = dependencies[value].dims;
  for (std::size_t d = 0; d < dims.size(); ++d)
    if (graph::touched(dependencies, dims[d], removal))
      kept[static_cast<std::int64_t>(d)] = graph::kept_indices(dependencies, dims[d], removal);
  return kept;
}

Program rewrite(const Program& program, const Dependencies& dependencies, const Removal& removal) {
  return resize(program, dependencies, removal, removal.widths(dependencies));
}

Program resize(const Program& program, const Dependencies& dependencies, const Removal& removal,
               const graph::Widths& widths) {
  Program out = program;
  out.ops.clear();
  for (std::size_t i = 0; i < program.ops.size(); ++i) {
    const graph::Op& op = program.ops[i];
    const graph::OpRule* rule = graph::find_rule(op.target);
    if (!rule || !rule->rewrite || !any_resized(dependencies, widths, op)) {
      out.ops.push_back(op);
      continue;
    }
    graph::RewriteContext context(out, dependencies, removal, widths, static_cast<std::int32_t>(i), op);
    rule->rewrite(context);
    for (graph::Op& inserted : context.inserted()) out.ops.push_back(std::move(inserted));
    out.ops.push_back(std::move(context.op()));
  }
  resize_values(out, dependencies, widths);
  return out;
}

kernels::Weights slice_weights(const Program& program, kernels::Weights weights,
                               const Dependencies& dependencies, const Removal& removal) {
  kernels::Weights out;
  kernels::BlockMemory memory;
  for (const graph::Input& input : program.inputs) {
    if (input.constant || input.kind == graph::Input::Kind::User) continue;
    if (!input.tied_to.empty()) {
      out[input.source] = out.at(input.tied_to);
      weights.erase(input.source);
      continue;
    }
    const auto found = weights.find(input.source);
    POLLARD_CHECK(found != weights.end(), "weight missing: " + input.source);
    const at::Tensor original = std::move(found->second);
    weights.erase(found);
    const auto kept = kept_of(dependencies, input.value, removal);
    at::Tensor sliced = kept.empty() ? original : kernels::slice_gather(original, kept, memory);
    sliced.set_requires_grad(original.requires_grad());
    out[input.source] = std::move(sliced);
  }
  return out;
}

models::Model prune(models::Model model, const Dependencies& dependencies, const Removal& removal) {
  model.weights = slice_weights(model.program, std::move(model.weights), dependencies, removal);
  model.program = rewrite(model.program, dependencies, removal);
  return model;
}

}  // namespace pollard::pruning
