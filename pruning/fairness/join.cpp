// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "graph/cost.h"
#include "pruning/fairness/search.h"
#include "pruning/rewrite.h"

namespace pollard::pruning::fairness {
namespace {

/// Where an axis is stored first: the same in the network and in the one that lost some heads.
using Place = std::pair<std::string, std::int32_t>;

std::map<Place, graph::AxisIndex> axes_by_place(const graph::Program& program, const graph::Dependencies& d) {
  std::map<Place, graph::AxisIndex> out;
  for (const graph::Group& g : d.groups) {
    const graph::Member& m = d.axes[static_cast<std::size_t>(g.axis)].members.front();
    out.emplace(Place{program.inputs[static_cast<std::size_t>(m.input)].source, m.dim}, g.axis);
  }
  return out;
}

}  // namespace

Plan join(const models::Model& model, const graph::Dependencies& d, const Plan& heads, PlanOptions rest) {
  Plan out = heads;
  out.options.speedup = rest.speedup;
  out.options.max_macs = rest.max_macs;
  out.options.max_parameters = rest.max_parameters;
  const models::Model smaller = prune(model, d, heads.removal);
  const graph::Dependencies smaller_d = graph::analyse(smaller.program);
  if (rest.speedup) {
    rest.max_macs = static_cast<std::int64_t>(static_cast<double>(heads.before.macs) / *rest.speedup);
    rest.speedup.reset();
  }
  rest.heads = rest.head_dim = 0.0;
  const Plan more = make_plan(smaller, smaller_d, rest);
  const auto axes = axes_by_place(model.program, d);
  for (const auto& [place, axis] : axes_by_place(smaller.program, smaller_d)) {
    const auto& removed = more.removal.removed[static_cast<std::size_t>(axis)];
    const auto found = axes.find(place);
    if (removed.empty() || found == axes.end()) continue;
    out.removal.removed[static_cast<std::size_t>(found->second)] = removed;
  }
  for (GroupPlan& g : out.groups) {
    const auto axis = static_cast<std::size_t>(d.groups[static_cast<std::size_t>(g.group)].axis);
    g.removed = out.removal.removed[axis];
    if (!g.removed.empty()) g.kept_whole.clear();
  }
  out.after = graph::CostModel(model.program, d).evaluate(out.removal.widths(d));
  return out;
}

}  // namespace pollard::pruning::fairness
