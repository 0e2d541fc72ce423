// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_report.h"

#include <fmt/format.h>

#include "cli/plan_options.h"
#include "cli/ui/format.h"
#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

struct Units {
  std::int64_t all = 0, removed = 0;
  std::size_t groups = 0, touched = 0;
};

Units count_units(const pruning::Plan& plan, const graph::Dependencies& dependencies) {
  Units units{.groups = plan.groups.size()};
  for (const pruning::GroupPlan& group : plan.groups) {
    const graph::Group& g = dependencies.groups[static_cast<std::size_t>(group.group)];
    units.all += dependencies.axes[static_cast<std::size_t>(g.axis)].size;
    units.removed += static_cast<std::int64_t>(group.removed.size());
    units.touched += group.removed.empty() ? 0 : 1;
  }
  return units;
}

void report_latency(const pruning::Forecast& f, Context& context) {
  context.report(fmt::format("latency   {} asked for, {} predicted ({} dense)", format_seconds(f.most),
                             format_seconds(f.pruned), format_seconds(f.dense)));
  if (f.measured_dense <= 0) return;
  context.report(fmt::format("          {} measured ({} dense, in turn)", format_seconds(f.measured_pruned),
                             format_seconds(f.measured_dense)));
  if (f.over() > 0)
    context.warn(fmt::format("a run takes {:.0f} % longer than was asked for", 100 * f.over()));
}

std::vector<Cell> change_row(const char* name, Cell before, Cell after, double from, double to, bool factor) {
  return {name, std::move(before), std::move(after),
          factor ? format_fewer(from, to) : format_change(from, to)};
}

}  // namespace

void report_plan(const pruning::Plan& plan, const graph::Dependencies& dependencies, Context& context) {
  const Units units = count_units(plan, dependencies);
  const std::string target = target_text(plan);
  if (!target.empty()) context.report("target    " + printable(target));
  context.report("method    " + printable(method_text(plan.options)));
  context.report(fmt::format("plan      {} of {} units removed, in {} of {} groups",
                             format_count(units.removed), format_count(units.all), units.touched,
                             units.groups));
  for (const std::string& note : plan.notes) context.report("scored    " + note);
  if (plan.latency) report_latency(*plan.latency, context);
  for (const std::string& warning : plan.warnings) context.warn(warning);
}

Table change_table(const pruning::Plan& plan) {
  const graph::Cost &b = plan.before, &a = plan.after;
  const auto d = [](std::int64_t value) { return static_cast<double>(value); };
  Table table({{""}, {"before", true}, {"after", true}, {"change", true}});
  table.add(change_row("parameters", count_cell(b.parameters), count_cell(a.parameters), d(b.parameters),
                       d(a.parameters), false));
  table.add(change_row("MACs", short_cell(d(b.macs)), short_cell(d(a.macs)), d(b.macs), d(a.macs), true));
  table.add(change_row("weights", bytes_cell(d(b.stored_bytes)), bytes_cell(d(a.stored_bytes)),
                       d(b.stored_bytes), d(a.stored_bytes), false));
  table.add(change_row("activations", bytes_cell(d(b.peak_activation_bytes)),
                       bytes_cell(d(a.peak_activation_bytes)), d(b.peak_activation_bytes),
                       d(a.peak_activation_bytes), false));
  return table;
}

Table group_plan_table(const pruning::Plan& plan, const graph::Dependencies& dependencies) {
  Table table({{"group"},
               {"kind"},
               {"role"},
               {"units", true},
               {"removed", true},
               {"kept", true},
               {"why kept whole", false, Column::Cut::End}});
  for (const pruning::GroupPlan& group : plan.groups) {
    const graph::Group& g = dependencies.groups[static_cast<std::size_t>(group.group)];
    const graph::Axis& axis = dependencies.axes[static_cast<std::size_t>(g.axis)];
    const auto removed = static_cast<std::int64_t>(group.removed.size());
    table.add({g.id, axis.renormalised ? "renormalised" : "exact", std::string(graph::to_string(axis.role)),
               count_cell(axis.size), count_cell(removed), count_cell(axis.size - removed),
               group.removed.empty() ? group.kept_whole : ""});
  }
  return table;
}

std::string verdict_text(const pruning::Verification& v, const Theme& theme) {
  std::string text = fmt::format("verify    pruned == masked original   max diff {} over {} input{}   ",
                                 format_scientific(v.max_relative), v.inputs, v.inputs == 1 ? "" : "s");
  text += v.ok ? theme.paint(theme.verdict, "ok")
               : theme.paint(theme.error, "FAILED") + " (at most " + format_scientific(v.tolerance) + ")";
  if (v.renormalised)
    text += "\n          norms and means run over the kept units, as renormalised groups are defined";
  return text;
}

Json to_json(const pruning::Verification& v) {
  return {{"ok", v.ok},
          {"max_difference", v.max_difference},
          {"max_relative", v.max_relative},
          {"tolerance", v.tolerance},
          {"inputs", v.inputs},
          {"renormalised", v.renormalised},
          {"change", v.change}};
}

}  // namespace pollard::cli
