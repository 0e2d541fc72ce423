// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <set>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/commands/explain_error.h"
#include "cli/model_input.h"
#include "cli/ui/text.h"
#include "graph/coupling_graph.h"

namespace pollard::cli {
namespace {

struct Options {
  std::string file, from, to;
  ModelInput input;
};

using graph::AxisIndex;
using graph::DimRef;

void collect_axes(const graph::Dependencies& d, graph::TermId term, std::set<AxisIndex>& axes) {
  term = d.terms.find(term);
  const auto kind = d.terms.kind(term);
  if (kind == graph::Terms::Kind::Axis) {
    if (const AxisIndex axis = d.axis_of(term); axis >= 0) axes.insert(axis);
    return;
  }
  const auto parts = kind == graph::Terms::Kind::Product ? d.terms.factors(term) : d.terms.segments(term);
  for (const graph::TermId part : parts) collect_axes(d, part, axes);
}

std::set<AxisIndex> axes_of(const graph::Dependencies& d, DimRef dim) {
  std::set<AxisIndex> axes;
  collect_axes(d, d[dim.value].dims[static_cast<std::size_t>(dim.dim)], axes);
  return axes;
}

std::string group_of(const graph::Dependencies& d, AxisIndex axis) {
  for (const graph::Group& group : d.groups)
    if (group.axis == axis) return group.id;
  return "";
}

struct AxisText {
  std::string axis, size, group, text;
};

AxisText describe(const AnalysedModel& m, AxisIndex index) {
  const graph::Axis& axis = m.dependencies.axes[static_cast<std::size_t>(index)];
  AxisText out{.axis = "a" + std::to_string(index),
               .size = std::to_string(axis.size),
               .group = group_of(m.dependencies, index),
               .text = {}};
  if (axis.frozen)
    out.text = "frozen: " + graph::explain_freeze(axis.frozen, m.model.program);
  else if (out.group.empty())
    out.text = axis.stored ? "nothing to prune" : "no parameter holds it";
  else
    out.text = fmt::format("prunable, {}, {} parameter dimensions shrink with it",
                           axis.renormalised ? "renormalised" : "exact", axis.members.size());
  return out;
}

Exit explain_one(const AnalysedModel& m, const std::string& name, Context& context) {
  const DimRef dim = graph::find_dim(m.model.program, name);
  const std::string term =
      graph::to_string(m.dependencies, m.dependencies[dim.value].dims[static_cast<std::size_t>(dim.dim)]);
  Table table({{"axis"}, {"size", true}, {"group"}, {"what"}});
  Json axes = Json::array();
  for (const AxisIndex index : axes_of(m.dependencies, dim)) {
    const AxisText text = describe(m, index);
    table.add({text.axis, text.size, text.group, text.text});
    axes.push_back({{"axis", text.axis},
                    {"group", text.group.empty() ? Json() : Json(text.group)},
                    {"what", text.text}});
  }
  if (context.json())
    context.print_json({{"dim", graph::name_of(m.model.program, dim)}, {"term", term}, {"axes", axes}});
  context.report(printable(graph::name_of(m.model.program, dim)) + "  is  " + term);
  context.print(table);
  return Exit::Ok;
}

std::string op_name(const graph::Program& program, std::int32_t op) {
  if (op == graph::CouplingGraph::kTied) return "same tensor";
  return op < 0 ? "" : program.ops[static_cast<std::size_t>(op)].target;
}

std::string module_of(const graph::Program& program, std::int32_t op) {
  return op < 0 ? "" : program.ops[static_cast<std::size_t>(op)].module;
}

Exit explain_path(const AnalysedModel& m, const Options& options, Context& context) {
  const graph::Program& program = m.model.program;
  const DimRef from = graph::find_dim(program, options.from), to = graph::find_dim(program, options.to);
  const auto path = graph::CouplingGraph(program, m.dependencies).path(from, to);
  Json steps = Json::array();
  Table table({{"step", true},
               {"through"},
               {"reaches", false, Column::Cut::Middle},
               {"module", false, Column::Cut::Middle}});
  for (std::size_t i = 0; path && i < path->size(); ++i) {
    const auto& step = (*path)[i];
    const std::string reached = graph::name_of(program, step.vertex.dim);
    table.add({std::to_string(i), op_name(program, step.op), reached, module_of(program, step.op)});
    steps.push_back(
        {{"op", op_name(program, step.op)}, {"reaches", reached}, {"module", module_of(program, step.op)}});
  }
  if (context.json())
    context.print_json(
        {{"from", options.from}, {"to", options.to}, {"coupled", path.has_value()}, {"steps", steps}});
  if (!path)
    context.report(printable(options.from) + " and " + printable(options.to) +
                   " are not coupled: they may be pruned apart");
  if (path) context.print(table);
  return Exit::Ok;
}

Exit run_explain(const Options& options, Context& context) {
  if (options.from.empty() && is_error_code(options.file)) return explain_error(options.file, context);
  if (options.from.empty())
    throw UserError({.code = "E0204",
                     .exit = Exit::Usage,
                     .subject = "explain",
                     .message = "needs a dimension to explain",
                     .where = {},
                     .why = {},
                     .help = "for example: pollard explain " + options.file + " fc.weight:0"});
  const AnalysedModel m = load_and_analyse(options.file, options.input);
  return options.to.empty() ? explain_one(m, options.from, context) : explain_path(m, options, context);
}

}  // namespace

void add_explain(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app =
      line.add({.name = "explain",
                .section = "Look",
                .purpose = "why dimensions are coupled or frozen; what an error means",
                .examples = {"pollard explain model.pt2 fc.weight:1",
                             "pollard explain model.pt2 emb.weight:1 fc.weight:1", "pollard explain E0301"}},
               [options](Context& context) { return run_explain(*options, context); });
  app->add_option("FILE", options->file, "the model; or an error code alone")->type_name("FILE")->required();
  app->add_option("A", options->from, "a dimension: name:dim, or %value:dim");
  app->add_option("B", options->to, "another: the shortest path of couplings to it");
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
