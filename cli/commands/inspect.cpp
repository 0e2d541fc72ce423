// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/built_in.h"
#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/inspect_report.h"
#include "cli/model_input.h"
#include "cli/parse_errors.h"
#include "cli/report/report.h"
#include "cli/ui/suggest.h"
#include "cli/ui/text.h"
#include "graph/coupling_graph.h"
#include "kernels/lowering/lowering.h"
#include "pruning/eligible.h"

namespace pollard::cli {
namespace {

constexpr std::size_t groups_in_summary = 12;

struct Options {
  std::vector<std::string> files;
  ModelInput input;
  std::string show = "summary", group, filter, sort = "program", dot, report;
  bool strict = false, force = false, lowered = false;
};

bool passes(const GroupView& group, const std::string& glob, const graph::Program& program) {
  return glob.empty() ||
         std::any_of(group.members.begin(), group.members.end(), [&](const graph::Member& member) {
           const std::string name = member_name(program, member);
           return pruning::glob_match(glob, name.substr(0, name.rfind(':')));
         });
}

void sort_groups(std::vector<GroupView>& groups, const std::string& by) {
  const auto key = [&](const GroupView& g) {
    return by == "params" ? g.parameters : by == "macs" ? g.macs : g.units;
  };
  if (by != "program")
    std::stable_sort(groups.begin(), groups.end(),
                     [&](const auto& a, const auto& b) { return key(a) > key(b); });
}

Inspected inspect(AnalysedModel model, const Options& options) {
  Inspected out{.m = std::move(model), .cost = {}, .groups = {}, .health = {}};
  const graph::Program& program = out.m.model.program;
  out.cost = graph::CostModel(program, out.m.dependencies).evaluate(graph::full_widths(out.m.dependencies));
  out.groups = group_views(program, out.m.dependencies);
  std::erase_if(out.groups, [&](const GroupView& g) { return !passes(g, options.filter, program); });
  sort_groups(out.groups, options.sort);
  out.health = check_health(out.m.model, out.m.dependencies);
  return out;
}

void show_group(const Inspected& i, const std::string& id, Context& context) {
  std::vector<std::string> ids;
  for (const GroupView& group : i.groups) {
    ids.push_back(group.id);
    if (group.id != id) continue;
    context.report(fmt::format("{}  {} units, role {}, {}", group.id, group.units,
                               graph::to_string(group.role), group.renormalised ? "renormalised" : "exact"));
    return context.print(member_table(group, i.m.model.program, i.m.dependencies));
  }
  const auto near = closest(id, ids);
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = "--group",
                   .message = fmt::format("there is no group \"{}\"{}", id,
                                          near ? "; did you mean \"" + *near + "\"?" : ""),
                   .where = {},
                   .why = {},
                   .help = "list them with --show groups"});
}

void show(const Inspected& i, const Options& options, Context& context) {
  if (!options.group.empty()) return show_group(i, options.group, context);
  for (const std::string& part : split(options.show, ',')) {
    if (part == "summary") report_summary(i, context), show_kinds(i, groups_in_summary, context);
    if (part == "tensors") context.print(tensor_table(i.m.model, i.m.dependencies));
    if (part == "groups" && !i.groups.empty()) context.print(group_table(i.groups, i.m.model.program));
    if (part == "frozen") {
      context.print(frozen_table(i.m.model.program, i.m.dependencies));
      context.note("why, in words: pollard explain " + printable(i.m.path) + " NAME:DIM");
    }
    if (part == "values") context.print(values_table(i.health));
    if (part == "program") context.print(graph::to_string(i.m.model.program));
  }
}

void check_show(const std::string& show) {
  const std::vector<std::string> known{"summary", "tensors", "groups", "frozen", "values", "program"};
  for (const std::string& part : split(show, ',')) {
    if (std::find(known.begin(), known.end(), part) != known.end()) continue;
    const auto near = closest(part, known);
    throw UserError({.code = "E0203",
                     .exit = Exit::Usage,
                     .subject = "--show",
                     .message = fmt::format("\"{}\" is none of {}{}", part, join(known, ", "),
                                            near ? "; did you mean \"" + *near + "\"?" : ""),
                     .where = {},
                     .why = {},
                     .help = {}});
  }
}

/// What runs when the model is lowered: the rules that found something, and the program they left.
void show_lowered(const models::Model& model, Context& context) {
  const kernels::Lowered lowered = kernels::lower(model.program, model.weights);
  Table table({{"rule"}, {"places", true}, {"what", false, Column::Cut::End}});
  for (const auto& [name, places] : lowered.applied) {
    const auto rule = std::ranges::find(kernels::lowering_rules(), name, &kernels::LoweringRule::name);
    table.add({std::string(name), count_cell(static_cast<std::int64_t>(places)), std::string(rule->what)});
  }
  context.print(table);
  context.print(graph::to_string(lowered.program));
}

/// Tells of one model; false when something is wrong with it.
bool tell(AnalysedModel model, const Options& options, const CommandLine& line, Context& context) {
  const Inspected i = inspect(std::move(model), options);
  if (context.json()) context.print_json(to_json(i, options.show.find("tensors") != std::string::npos));
  show(i, options, context);
  if (options.lowered) show_lowered(i.m.model, context);
  if (!options.dot.empty())
    write_text_file(options.dot, graph::to_dot(i.m.model.program, i.m.dependencies), options.force);
  if (!options.report.empty())
    report::write_report(report::document({.model = i.m}, line), options.report, options.force);
  if (options.files.size() == 1 && options.group.empty() && !i.groups.empty())
    context.next("pollard plan " + printable(i.m.path) + " --speedup 2x");
  return i.health.good();
}

Exit run_inspect(const Options& options, const CommandLine& line, Context& context) {
  check_show(options.show);
  if (!options.report.empty()) report::check_report_path(options.report, options.force);
  if (!options.report.empty() && options.files.size() > 1)
    throw usage_error("E0206", "--report", "is about one model", "run inspect once for each FILE");
  check_text_outputs({options.dot}, options.files, options.force);
  if (options.files.empty() && options.input.family.empty())
    throw usage_error("E0204", "inspect", "FILE is required", "or name a built-in network: --family bert");
  if (options.files.empty() && options.lowered)
    throw usage_error("E0204", "inspect", "--lowered needs a FILE", "lowering folds and packs weights");
  bool healthy = true;
  if (options.files.empty()) healthy = tell(analyse_built_in(options.input), options, line, context);
  for (const std::string& file : options.files)
    healthy = tell(load_and_analyse(file, options.input), options, line, context) && healthy;
  return options.strict && !healthy ? Exit::GateFailed : Exit::Ok;
}

}  // namespace

void add_inspect(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app =
      line.add({.name = "inspect",
                .section = "Look",
                .purpose = "what is in a model file: size, groups, couplings, problems",
                .examples = {"pollard inspect model.pt2", "pollard inspect --family Llama-2-7B",
                             "pollard inspect model.pt2 --show groups -q | sort -k3n"}},
               [options, &line](Context& context) { return run_inspect(*options, line, context); });
  app->add_option("FILE", options->files,
                  "models: .pt2, .safetensors or .pt; with none, --family's network without weights")
      ->type_name("FILE")
      ->take_all();
  app->add_option("--show", options->show, "list of summary, tensors, groups, frozen, values, program")
      ->type_name("PARTS")
      ->group("Output");
  app->add_option("--group", options->group, "one group's members")->type_name("ID")->group("Output");
  app->add_option("--filter", options->filter, "only groups that touch these parameters: 'layer3.*'")
      ->type_name("GLOB")
      ->group("Output");
  app->add_option("--sort", options->sort, "program, units, params or macs")
      ->type_name("KEY")
      ->check(CLI::IsMember({"program", "units", "params", "macs"}))
      ->group("Output");
  app->add_flag("--lowered", options->lowered, "what runs when lowered: see bench --kernels")
      ->group("Output");
  app->add_option("--dot", options->dot, "write the couplings as a Graphviz file")
      ->type_name("FILE")
      ->group("Output");
  app->add_option("--report", options->report, "a page with groups, reasons and graph: .html or .json")
      ->type_name("FILE")
      ->group("Output");
  app->add_flag("--force", options->force, "replace existing --dot and --report files")->group("Output");
  app->add_flag("--strict", options->strict, "exit 1 on unknown ops or values that are not finite")
      ->group("Safety");
  add_model_options(*app, options->input, "Reading");
}

}  // namespace pollard::cli
