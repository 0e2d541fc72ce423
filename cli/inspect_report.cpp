// SPDX-License-Identifier: Apache-2.0
#include "cli/inspect_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "cli/ui/format.h"
#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

std::size_t group_number(const graph::Dependencies& d, graph::AxisIndex axis) {
  return static_cast<std::size_t>(std::ranges::find(d.groups, axis, &graph::Group::axis) - d.groups.begin());
}

/// The columns of `--show groups` with one less, so that names have room: a star marks renormalised groups.
Table kinds_table(const std::vector<GroupView>& groups, const graph::Program& program) {
  Table table({{"group"},
               {"units", true},
               {"members", true},
               {"params", true},
               {"MACs", true},
               {"role"},
               {"first member", false, Column::Cut::Middle}});
  for (const GroupView& group : groups)
    table.add({group.id, count_cell(group.units), count_cell(std::ssize(group.members)),
               short_cell(static_cast<double>(group.parameters)), short_cell(static_cast<double>(group.macs)),
               std::string(graph::to_string(group.role)) + (group.renormalised ? " *" : ""),
               group.members.empty() ? "" : member_name(program, group.members.front())});
  return table;
}

}  // namespace

Json to_json(const Inspected& i, bool with_tensors) {
  Json json{{"file", i.m.path}, {"format", i.m.model.format}, {"sha256", i.m.model.sha256}};
  json["family"] = i.m.model.family.empty() ? Json() : Json(i.m.model.family);
  json["spec"] = i.m.model.spec_json.empty() ? Json() : Json::parse(i.m.model.spec_json);
  json["pruned"] = i.m.model.metadata.contains("pollard.plan");
  json["inputs"] = input_shapes(i.m.model.program);
  json["ops"] = i.m.model.program.ops.size();
  json["parameters"] = i.cost.parameters;
  json["parameter_bytes"] = i.cost.parameter_bytes;
  json["macs"] = i.cost.macs;
  json["peak_activation_bytes"] = i.cost.peak_activation_bytes;
  json["groups"] = groups_json(i.groups, i.m.model.program, i.m.dependencies);
  json["frozen"] = frozen_json(i.m.model.program, i.m.dependencies);
  json.update(to_json(i.health));
  if (with_tensors) json["tensors"] = tensors_json(i.m.model, i.m.dependencies);
  return json;
}

void report_summary(const Inspected& i, Context& context) {
  const auto exact =
      std::count_if(i.groups.begin(), i.groups.end(), [](const auto& g) { return !g.renormalised; });
  const auto units = std::accumulate(i.groups.begin(), i.groups.end(), std::int64_t{0},
                                     [](std::int64_t sum, const GroupView& g) { return sum + g.units; });
  const Theme& theme = context.theme();
  context.report(theme.paint(theme.subject, printable(i.m.path)) +
                 fmt::format("   {}, {} ops", i.m.model.format, i.m.model.program.ops.size()));
  if (!i.m.model.family.empty()) context.report("model    " + i.m.model.family);
  if (i.m.model.metadata.contains("pollard.plan"))
    context.report("origin   made smaller by pollard; plan and provenance inside");
  context.report(fmt::format("size     {} parameters, {}   {} MACs at {}", format_count(i.cost.parameters),
                             format_bytes(static_cast<double>(i.cost.parameter_bytes)),
                             format_short(static_cast<double>(i.cost.macs)),
                             printable(input_shapes(i.m.model.program))));
  context.report(fmt::format("groups   {} prunable with {} units ({} exact, {} renormalised{})",
                             i.groups.size(), format_count(units), exact,
                             static_cast<std::int64_t>(i.groups.size()) - exact,
                             exact < std::ssize(i.groups) ? " *" : ""));
  for (const std::string& line : health_lines(i.health)) context.report(line);
}

void show_kinds(const Inspected& i, std::size_t most, Context& context) {
  std::vector<GroupView> firsts;
  std::map<std::string, std::size_t> kinds;
  std::vector<int> alike;
  for (const GroupView& group : i.groups) {
    const auto& signature = i.m.dependencies.groups[group_number(i.m.dependencies, group.axis)].signature;
    const std::string kind = i.groups.size() <= most ? group.id
                                                     : fmt::format("{} {} {} {}", signature, group.units,
                                                                   group.parameters, group.macs);
    const auto [found, fresh] = kinds.emplace(kind, firsts.size());
    if (fresh)
      firsts.push_back(group), alike.push_back(0);
    else
      ++alike[found->second];
  }
  for (std::size_t k = 0; k < firsts.size(); ++k)
    if (alike[k] > 0) firsts[k].id += fmt::format(" +{}", alike[k]);
  const std::size_t kept = std::min(most, firsts.size());
  const std::vector<GroupView> shown(firsts.begin(), firsts.begin() + static_cast<std::ptrdiff_t>(kept));
  if (!shown.empty()) context.print(kinds_table(shown, i.m.model.program));
  if (kept < i.groups.size())
    context.report(
        fmt::format("({} groups of {} kinds; each alone: --show groups)", i.groups.size(), firsts.size()));
}

}  // namespace pollard::cli
