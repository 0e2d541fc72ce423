// SPDX-License-Identifier: Apache-2.0
#include "pruning/plan.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <utility>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/health.h"
#include "cli/model_input.h"
#include "cli/plan_options.h"
#include "cli/plan_report.h"
#include "cli/report/report.h"
#include "cli/runtime.h"
#include "cli/trade_off.h"
#include "cli/ui/format.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "models/io/cancel.h"
#include "models/io/stage.h"
#include "pruning/repair.h"
#include "pruning/rewrite.h"
#include "pruning/sensitivity.h"

namespace pollard::cli {
namespace {

struct Options {
  std::string file, output, sweep, csv, svg, report;
  ModelInput input;
  PlanArguments plan;
  bool groups = false, sensitivity = false, force = false;
};

/// Of each plan, what the cut network's outputs on the samples are worth before and after repair. Processes that share the
/// samples each measure some of the plans, on all of them.
void measure(const AnalysedModel& m, const std::vector<pruning::Plan>& plans, pruning::CalibrationSet samples,
             std::vector<TradeOffPoint>& points) {
  const pruning::SharedWork work(std::exchange(samples.job, nullptr), std::ssize(plans));
  const std::vector<at::Tensor> dense = pruning::outputs_on(m.model, samples);
  const auto tell = [&](std::int64_t done) {
    models::io::tell_stage(
        {.name = "measure", .unit = "plans", .done = done, .total = work.end() - work.begin()});
  };
  at::Tensor errors = at::zeros({std::ssize(plans), 2}, at::kDouble);
  tell(0);
  for (std::int64_t i = work.begin(); i < work.end(); ++i) {
    models::io::throw_if_cancelled();
    const graph::Removal& removal = plans[static_cast<std::size_t>(i)].removal;
    models::Model pruned = pruning::prune(m.model, m.dependencies, removal);
    errors[i][0] = pruning::output_error(pruning::outputs_on(pruned, samples), dense);
    pruning::repair(pruned, m.model, m.dependencies, removal, samples);
    errors[i][1] = pruning::output_error(pruning::outputs_on(pruned, samples), dense);
    tell(i + 1 - work.begin());
  }
  work.sum(errors);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const at::Tensor point = errors[static_cast<std::int64_t>(i)];
    points[i].sliced = point[0].item<double>();
    points[i].repaired = point[1].item<double>();
  }
}

void write_report(const Options& options, const report::Findings& findings, const CommandLine& line,
                  Context& context) {
  if (options.report.empty()) return;
  report::write_report(report::document(findings, line), options.report, options.force);
  context.note("report    " + printable(options.report));
}

// One plan for each ratio, so a knee can be seen before anything is decided.
Exit run_sweep(const Options& options, const CommandLine& line, Context& context) {
  const std::vector<double> ratios = parse_range(options.sweep, "--sweep");
  const AnalysedModel m = load_and_analyse(options.file, options.input);
  if (!options.plan.allow_nonfinite) require_finite(m.model);
  const auto samples = shared_samples(options.plan, m.model, context);
  PlanArguments arguments = options.plan;
  std::vector<pruning::Plan> plans;
  std::vector<TradeOffPoint> points;
  const auto tell = [&] {
    models::io::tell_stage(
        {.name = "sweep", .unit = "plans", .done = std::ssize(points), .total = std::ssize(ratios)});
  };
  tell();
  for (const double ratio : ratios) {
    models::io::throw_if_cancelled();
    arguments.ratio = fmt::format("{}", ratio);
    const auto settings = plan_options(arguments, "plan", context.globals().seed);
    const pruning::Plan& plan = plans.emplace_back(plan_for(settings, m, samples ? &*samples : nullptr));
    points.push_back(
        {.ratio = ratio, .before = plan.before, .after = plan.after, .sliced = {}, .repaired = {}});
    tell();
  }
  if (samples) measure(m, plans, *samples, points);
  if (!speaks()) return Exit::Ok;
  const Table table = trade_off_table(points);
  if (context.json())
    context.print_json({{"schema", "pollard.sweep/1"}, {"file", options.file}, {"sweep", to_json(points)}});
  context.print(table);
  if (!options.csv.empty()) write_text_file(options.csv, table.csv(), options.force);
  if (!options.svg.empty())
    write_text_file(options.svg,
                    trade_off_svg(points, std::filesystem::path(options.file).filename().string()),
                    options.force);
  write_report(options, {.model = m, .trade_off = points}, line, context);
  return Exit::Ok;
}

Json to_json(const pruning::Sensitivity& report, const graph::Dependencies& d) {
  Json out = Json::array();
  for (std::size_t c = 0; c < report.classes.size(); ++c)
    for (const pruning::SensitivityPoint& point : report.points[c])
      out.push_back({{"group", d.groups[static_cast<std::size_t>(report.classes[c].groups.front())].id},
                     {"units", report.classes[c].size},
                     {"removed", point.removed},
                     {"error_sliced", point.sliced},
                     {"error_repaired", point.repaired}});
  return out;
}

// Every group pruned alone: which can give units away, and what a refit of its layers saves.
Exit run_sensitivity(const Options& options, const CommandLine& line, Context& context) {
  const AnalysedModel m = load_and_analyse(options.file, options.input);
  if (!options.plan.allow_nonfinite) require_finite(m.model);
  const auto samples = shared_samples(options.plan, m.model, context);
  PlanArguments arguments = options.plan;
  if (arguments.ratio.empty()) arguments.ratio = "0.5";  // groups take part as for a target
  const auto found = pruning::sensitivity_report(m.model, m.dependencies,
                                                 plan_options(arguments, "plan", context.globals().seed),
                                                 samples ? &*samples : nullptr);
  if (!speaks()) return Exit::Ok;
  Table table({{"group"}, {"units", true}, {"removed", true}, {"error sliced", true}, {"repaired", true}});
  for (std::size_t c = 0; c < found.classes.size(); ++c)
    for (const pruning::SensitivityPoint& point : found.points[c])
      table.add({m.dependencies.groups[static_cast<std::size_t>(found.classes[c].groups.front())].id,
                 count_cell(found.classes[c].size), count_cell(point.removed),
                 number_cell(point.sliced, fmt::format("{:.4f}", point.sliced)),
                 number_cell(point.repaired, fmt::format("{:.4f}", point.repaired))});
  if (context.json())
    context.print_json({{"schema", "pollard.sensitivity/1"},
                        {"file", options.file},
                        {"points", to_json(found, m.dependencies)}});
  context.print(table);
  if (!options.csv.empty()) write_text_file(options.csv, table.csv(), options.force);
  write_report(options, {.model = m, .sensitivity = &found}, line, context);
  return Exit::Ok;
}

Exit run_plan(const Options& options, const CommandLine& line, Context& context) {
  check_job(options.plan);
  if (!options.report.empty() && speaks()) report::check_report_path(options.report, options.force);
  if (speaks())
    check_text_outputs({options.output, options.csv, options.svg}, {options.file, options.plan.calibration},
                       options.force);
  if (!options.sweep.empty()) return run_sweep(options, line, context);
  if (options.sensitivity) return run_sensitivity(options, line, context);
  auto settings = plan_options(options.plan, "plan", context.globals().seed);
  const AnalysedModel m = load_and_analyse(options.file, options.input);
  if (!options.plan.allow_nonfinite) require_finite(m.model);
  const auto samples = shared_samples(options.plan, m.model, context);
  settings.file_overhead = bytes_beside_weights(m);
  const pruning::Plan plan = plan_for(settings, m, samples ? &*samples : nullptr);
  if (!speaks()) return Exit::Ok;  // the first process writes and prints what all have found
  const std::string json = pruning::to_json(plan, m.model, m.dependencies);
  if (!options.output.empty()) write_text_file(options.output, json + "\n", options.force);
  if (context.json()) context.print_line(json);
  report_plan(plan, m.dependencies, context);
  context.print(options.groups ? group_plan_table(plan, m.dependencies) : change_table(plan));
  context.report("hash      " + pruning::plan_hash(json).substr(0, 12));
  if (!options.output.empty()) context.note("wrote     " + options.output);
  if (!options.report.empty())
    write_report(options, {.model = m, .plan = &plan, .trade_off = report::other_ratios(m, plan.options)},
                 line, context);
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
                    "pollard plan model.pt2 --sweep 0.1:0.8:0.1 --svg curve.svg"}},
      [options, &line](Context& context) { return run_plan(*options, line, context); });
  app->add_option("FILE", options->file, "the model")->type_name("FILE")->required();
  add_plan_options(*app, options->plan);
  app->add_option("-o,--output", options->output, "write the plan here, as JSON")
      ->type_name("FILE")
      ->group("Output");
  app->add_flag("--groups", options->groups, "show every group's fate")->group("Output");
  app->add_option("--sweep", options->sweep, "plan every ratio of first:last:step")
      ->type_name("RANGE")
      ->group("Output");
  app->add_flag("--sensitivity", options->sensitivity, "prune every group alone and measure; needs --calib")
      ->group("Output");
  app->add_option("--report", options->report, "a page with plan, groups and curves: .html or .json")
      ->type_name("FILE")
      ->group("Output");
  app->add_option("--csv", options->csv, "write the table of --sweep or --sensitivity here")
      ->type_name("FILE")
      ->group("More");
  app->add_option("--svg", options->svg, "draw the curve of --sweep here")->type_name("FILE")->group("More");
  app->add_flag("--force", options->force, "replace existing files")->group("Output");
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
