// SPDX-License-Identifier: Apache-2.0
// What couples, and how wide it is before and after.
#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "cli/model_report.h"
#include "cli/report/report.h"
#include "graph/coupling_graph.h"

namespace pollard::cli::report {
namespace {

using graph::AxisIndex;
using graph::Dependencies;
using graph::Input;
using graph::Program;

/// By axis, the ops that couple two dimensions along it, by kind and in the order they run.
std::vector<std::map<std::string, std::set<std::int32_t>>> couplings(const AnalysedModel& m) {
  std::vector<std::map<std::string, std::set<std::int32_t>>> out(m.dependencies.axes.size());
  const graph::CouplingGraph couplings(m.model.program, m.dependencies);
  for (const graph::CouplingGraph::Edge& edge : couplings.edges()) {
    const AxisIndex axis = couplings.vertices()[edge.a].axis;
    if (axis < 0) continue;
    const std::string kind =
        edge.op < 0 ? "one tensor, two names"
                    : std::string(m.model.program.ops[static_cast<std::size_t>(edge.op)].base_name());
    out[static_cast<std::size_t>(axis)][kind].insert(edge.op);
  }
  return out;
}

Json coupling_json(const std::map<std::string, std::set<std::int32_t>>& kinds, const Program& program) {
  Json out = Json::array();
  for (const auto& [kind, ops] : kinds) {
    const std::int32_t first = *ops.begin();
    out.push_back({{"op", kind},
                   {"count", ops.size()},
                   {"first", first < 0 ? "" : program.ops[static_cast<std::size_t>(first)].name}});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Json& a, const Json& b) { return a["count"] > b["count"]; });
  return out;
}

bool mentions_any(const Dependencies& d, graph::TermId term, const std::set<AxisIndex>& axes) {
  return std::ranges::any_of(d.terms.axes(term),
                             [&](graph::TermId axis) { return axes.contains(d.axis_of(axis)); });
}

void add_axes(const Dependencies& d, graph::ValueId value, std::set<AxisIndex>& out) {
  for (const graph::TermId term : d[value].dims)
    for (const graph::TermId axis : d.terms.axes(term)) out.insert(d.axis_of(axis));
}

/// The dimension of a weight that is its op's output: the first that shares an axis with what comes out and not with
/// what goes in, or at least with what comes out (both, on a residual stream).
std::size_t width_dim(const Program& program, const Dependencies& d, const graph::Op& op,
                      graph::ValueId weight, const std::set<std::int32_t>& stored) {
  std::set<AxisIndex> in, out;
  for (const graph::ValueId value : op.outputs) add_axes(d, value, out);
  for (const graph::NamedArg& named : op.args)
    for (const graph::ValueId value : graph::values_in(named.arg))
      if (!stored.contains(value.index) && program[value].kind == graph::Value::Kind::Tensor)
        add_axes(d, value, in);
  const auto& dims = d[weight].dims;
  std::set<AxisIndex> born;
  std::ranges::set_difference(out, in, std::inserter(born, born.end()));
  for (const auto& axes : {born, out})
    for (std::size_t i = 0; i < dims.size(); ++i)
      if (mentions_any(d, dims[i], axes)) return i;
  return 0;
}

graph::Widths widths_after(const Dependencies& d, const pruning::Plan* plan) {
  return plan == nullptr ? graph::full_widths(d) : plan->removal.widths(d);
}

std::string group_of(const Dependencies& d, graph::TermId term) {
  for (const graph::TermId axis : d.terms.axes(term))
    for (const graph::Group& group : d.groups)
      if (group.axis == d.axis_of(axis)) return group.id;
  return "";
}

}  // namespace

Json groups_part(const AnalysedModel& m, const pruning::Plan* plan) {
  const Program& program = m.model.program;
  const auto kinds = couplings(m);
  Json out = groups_json(group_views(program, m.dependencies), program, m.dependencies);
  for (std::size_t g = 0; g < out.size(); ++g) {
    const AxisIndex axis = m.dependencies.groups[g].axis;
    out[g]["couplings"] = coupling_json(kinds[static_cast<std::size_t>(axis)], program);
    out[g]["removed"] = Json::array();
    out[g]["kept_whole"] = "";
  }
  if (plan == nullptr) return out;
  for (const pruning::GroupPlan& one : plan->groups) {
    out[static_cast<std::size_t>(one.group)]["removed"] = one.removed;
    if (one.removed.empty()) out[static_cast<std::size_t>(one.group)]["kept_whole"] = one.kept_whole;
  }
  return out;
}

Json layers_part(const AnalysedModel& m, const pruning::Plan* plan) {
  const Program& program = m.model.program;
  const Dependencies& d = m.dependencies;
  const graph::Widths after = widths_after(d, plan);
  std::set<std::int32_t> stored, seen;
  std::map<std::int32_t, const Input*> weights;
  for (const Input& input : program.inputs)
    if (input.kind != Input::Kind::User) {
      stored.insert(input.value.index);
      if (input.kind == Input::Kind::Parameter && program[input.value].shape.size() >= 2)
        weights[input.value.index] = &input;
    }
  Json out = Json::array();
  for (const graph::Op& op : program.ops)
    for (const graph::NamedArg& named : op.args)
      for (const graph::ValueId value : graph::values_in(named.arg)) {
        const auto found = weights.find(value.index);
        if (found == weights.end() || !seen.insert(value.index).second) continue;
        const std::size_t dim = width_dim(program, d, op, value, stored);
        const graph::TermId term = d[value].dims[dim];
        out.push_back({{"parameter", found->second->source},
                       {"op", op.base_name()},
                       {"dim", dim},
                       {"before", program[value].shape[dim].hint},
                       {"after", graph::size_at(d, term, after)},
                       {"group", group_of(d, term)}});
      }
  return out;
}

}  // namespace pollard::cli::report
