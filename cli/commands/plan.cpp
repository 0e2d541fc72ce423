// SPDX-License-Identifier: Apache-2.0
#include "pruning/plan.h"

#include <fmt/format.h>

#include <memory>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/health.h"
#include "cli/model_input.h"
#include "cli/plan_options.h"
#include "cli/plan_report.h"
#include "cli/ui/format.h"
#include "cli/ui/quantity.h"
#include "models/io/cancel.h"

namespace pollard::cli {
namespace {

struct Options {
  std::string file, output, sweep;
  ModelInput input;
  PlanArguments plan;
  bool groups = false, force = false;
};

// One plan for each ratio, so a knee can be seen before anything is decided.
Exit run_sweep(const Options& options, Context& context) {
  const std::vector<double> ratios = parse_range(options.sweep, "--sweep");
  const AnalysedModel m = load_and_analyse(options.file, options.input);
  if (!options.plan.allow_nonfinite) require_finite(m.model);
  const auto samples = read_samples(options.plan, m.model);
  PlanArguments arguments = options.plan;
  Table table({{"ratio", true}, {"parameters", true}, {"MACs", true}, {"fewer MACs", true}});
  Json points = Json::array();
  Progress progress = context.progress("sweep", static_cast<std::int64_t>(ratios.size()), "plans");
  for (const double ratio : ratios) {
    models::io::throw_if_cancelled();
    arguments.ratio = fmt::format("{}", ratio);
    const auto settings = plan_options(arguments, "plan", context.globals().seed);
    const pruning::Plan plan =
        pruning::make_plan(m.model, m.dependencies, settings, samples ? &*samples : nullptr);
    const auto before = static_cast<double>(plan.before.macs), after = static_cast<double>(plan.after.macs);
    table.add({format_fixed(ratio, 2), count_cell(plan.after.parameters), short_cell(after),
               format_factor(after > 0 ? before / after : 0)});
    points.push_back({{"ratio", ratio}, {"parameters", plan.after.parameters}, {"macs", plan.after.macs}});
    progress.advance();
  }
  progress.finish();
  if (context.json()) context.print_json({{"file", options.file}, {"sweep", points}});
  context.print(table);
  return Exit::Ok;
}

Exit run_plan(const Options& options, Context& context) {
  if (!options.sweep.empty()) return run_sweep(options, context);
  const auto settings = plan_options(options.plan, "plan", context.globals().seed);
  const AnalysedModel m = load_and_analyse(options.file, options.input);
  if (!options.plan.allow_nonfinite) require_finite(m.model);
  const auto samples = read_samples(options.plan, m.model);
  const pruning::Plan plan =
      pruning::make_plan(m.model, m.dependencies, settings, samples ? &*samples : nullptr);
  const std::string json = pruning::to_json(plan, m.model, m.dependencies);
  if (!options.output.empty()) write_text_file(options.output, json + "\n", options.force);
  if (context.json()) context.print_line(json);
  report_plan(plan, m.dependencies, context);
  context.print(options.groups ? group_plan_table(plan, m.dependencies) : change_table(plan));
  context.report("hash      " + pruning::plan_hash(json).substr(0, 12));
  if (!options.output.empty()) context.note("wrote     " + options.output);
  if (!plan.empty())
    context.next(fmt::format("pollard prune {} small.pt2{}", options.file,
                             options.output.empty() ? as_typed(options.plan) : " --plan " + options.output));
  return Exit::Ok;
}

}  // namespace

void add_plan(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app = line.add(
      {.name = "plan",
       .section = "Shrink",
       .purpose = "choose what to remove; touches no weights",
       .examples = {"pollard plan model.pt2 --speedup 2x", "pollard plan model.pt2 --ratio 0.5 -o plan.json",
                    "pollard plan model.pt2 --sweep 0.1:0.8:0.1"}},
      [options](Context& context) { return run_plan(*options, context); });
  app->add_option("FILE", options->file, "the model")->type_name("FILE")->required();
  add_plan_options(*app, options->plan);
  app->add_option("-o,--output", options->output, "write the plan here, as JSON")
      ->type_name("FILE")
      ->group("Output");
  app->add_flag("--groups", options->groups, "show every group's fate")->group("Output");
  app->add_option("--sweep", options->sweep, "plan every ratio of first:last:step")
      ->type_name("RANGE")
      ->group("Output");
  app->add_flag("--force", options->force, "replace an existing plan file")->group("Output");
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
