// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/health.h"
#include "cli/model_input.h"
#include "cli/parse_errors.h"
#include "cli/plan_options.h"
#include "cli/plan_report.h"
#include "cli/prune_outcome.h"
#include "cli/report/report.h"
#include "cli/runtime.h"
#include "cli/stream_run.h"
#include "cli/ui/format.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "graph/cost.h"
#include "graph/error.h"
#include "models/io/atomic_file.h"
#include "models/io/cancel.h"
#include "pruning/compose.h"
#include "pruning/limits.h"
#include "pruning/op_times.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"

namespace pollard::cli {
namespace {

struct Options {
  std::string in, out, plan_file, report, repair = "least-squares", memory = "4G", stream_memory = "2GiB";
  ModelInput input;
  PlanArguments plan;
  int steps = 1;
  bool dry_run = false, no_verify = false, no_repair = false, force = false, stream = false;
  int inputs = 4;
};

using Samples = std::optional<pruning::CalibrationSet>;

const pruning::CalibrationSet* pointer_to(const Samples& samples) { return samples ? &*samples : nullptr; }

Outcome shrink(const Options& options, const AnalysedModel& m, pruning::Plan plan, std::uint64_t seed) {
  check_memory(m, plan.removal, !options.no_verify,
               options.no_verify ? "prune from disk to disk: --stream"
                                 : "skip the proof: --no-verify, or prune from disk to disk: --stream");
  Outcome out{.plan = std::move(plan), .plan_json = {}, .pruned = {}, .verification = {}};
  out.plan_json = pruning::to_json(out.plan, m.model, m.dependencies);
  out.pruned = pruning::prune(m.model, m.dependencies, out.plan.removal);
  models::io::throw_if_cancelled();
  if (!options.no_verify && speaks())
    out.verification = pruning::verify(m.model, out.pruned, m.dependencies, out.plan.removal,
                                       {.inputs = options.inputs, .seed = seed});
  models::io::throw_if_cancelled();
  return out;
}

// The network that came in, and what has left it by now when it is pruned in steps.
struct Origin {
  models::Model model;
  graph::Dependencies dependencies;
  std::optional<graph::Removal> gone;  // nothing when a step's units are not units of the origin any more

  explicit Origin(const AnalysedModel& m)
      : model(m.model), dependencies(m.dependencies), gone(graph::Removal(m.dependencies)) {}
  void follow(const AnalysedModel& m, const pruning::Plan& plan) {
    if (gone) gone = pruning::compose(dependencies, *gone, m.dependencies, plan.removal);
  }
};

// Repair comes after the proof: it changes the weights, the proof is about which ones are left. It aims at the network
// that came in, so that the errors of several steps do not add up.
void repair(const Options& options, const pruning::CalibrationSet& samples, const AnalysedModel& m,
            const Origin& origin, Outcome& outcome, Context& context) {
  pruning::RepairOptions how;
  how.method = *pruning::repair_method_from_string(options.repair);
  if (how.method == pruning::RepairMethod::None) return;
  how.memory_bytes = parse_count(options.memory, "--repair-memory");
  if (!origin.gone) context.note("refitted to the step before: its units have no places in IN");
  outcome.repair =
      origin.gone
          ? pruning::repair(outcome.pruned, origin.model, origin.dependencies, *origin.gone, samples, how)
          : pruning::repair(outcome.pruned, m.model, m.dependencies, outcome.plan.removal, samples, how);
  models::io::throw_if_cancelled();
  context.report(repair_text(*outcome.repair));
  for (const std::string& left : outcome.repair->left) context.note("not refitted: " + left);
}

Exit conclude(const Options& options, const Outcome& outcome, bool written, Context& context) {
  if (context.json()) context.print_json(to_json(outcome, options.in, written ? options.out : ""));
  if (outcome.verification && !outcome.verification->ok) {
    context.note("FAILED    nothing written: please report this network, it is a mistake in pollard");
    return Exit::GateFailed;
  }
  const std::string plan =
      fmt::format("  (plan {} inside)", pruning::plan_hash(outcome.plan_json).substr(0, 12));
  return close_run(options.in, options.out, written, plan, context);
}

void announce(const pruning::Plan& plan, const AnalysedModel& m, Context& context) {
  report_plan(plan, m.dependencies, context);
  context.print(change_table(plan));
}

void mend(const Options& options, const Samples& samples, const AnalysedModel& m, Origin& origin,
          Outcome& outcome, Context& context) {
  origin.follow(m, outcome.plan);
  if (samples && !options.no_repair) repair(options, *samples, m, origin, outcome, context);
  outcome.pruned.metadata["pollard.plan"] = outcome.plan_json;
  outcome.pruned.metadata["pollard.provenance"] = provenance(m, outcome);
}

// A network between two steps has no file: the plan that made it names it.
AnalysedModel one_step(const Options& options, const AnalysedModel& m, const pruning::PlanOptions& target,
                       const Samples& samples, Origin& origin, Context& context) {
  pruning::Plan plan = plan_for(target, m, pointer_to(samples));
  announce(plan, m, context);
  Outcome outcome = shrink(options, m, std::move(plan), context.globals().seed);
  POLLARD_CHECK(!outcome.verification || outcome.verification->ok, "a step differs from its masked original");
  mend(options, samples, m, origin, outcome, context);
  outcome.pruned.sha256 = pruning::plan_hash(outcome.plan_json);
  graph::Dependencies dependencies = graph::analyse(outcome.pruned.program);
  return {.path = m.path, .model = std::move(outcome.pruned), .dependencies = std::move(dependencies)};
}

pruning::Plan choose(const Options& options, AnalysedModel& m, const Samples& samples, Origin& origin,
                     Context& context) {
  if (!options.plan_file.empty())
    return pruning::plan_from_json(read_text_file(options.plan_file), m.model, m.dependencies);
  pruning::PlanOptions target = plan_options(options.plan, "prune", context.globals().seed);
  target.file_overhead = bytes_beside_weights(m);
  const auto cost = [&] {
    return graph::CostModel(m.model.program, m.dependencies).evaluate(graph::full_widths(m.dependencies));
  };
  const auto seconds = [&] { return target.has_latency() ? pruning::race_models({&m.model}, 9).front() : 0; };
  // A speed-up becomes MACs, a share of the time a time.
  if (options.steps > 1) target = pruning::step_toward(target, cost(), 1, seconds());
  for (int left = options.steps; left > 1; --left)
    m = one_step(options, m, pruning::step_toward(target, cost(), left, seconds()), samples, origin, context);
  return plan_for(target, m, pointer_to(samples));
}

void check_options(const Options& options, const Context& context) {
  check_job(options.plan);
  bool budgets = false;
  if (options.plan_file.empty())
    budgets = plan_options(options.plan, "prune", context.globals().seed).has_budget();
  if (options.stream && !options.report.empty())
    throw usage_error("E0206", "--stream", "does not go with --report",
                      "a report needs the network in memory");
  if (options.stream && options.steps > 1)
    throw usage_error("E0206", "--stream", "does not go with --steps", "run it again on the result");
  if (options.steps > 1 && !budgets)
    throw usage_error(
        "E0206", "--steps", "goes with budgets",
        "steps lead to a budget: --speedup, --params, --macs, --activations, --file-size, --latency");
}

void write_report(const Options& options, const AnalysedModel& m, const Outcome& outcome, bool written,
                  const CommandLine& line, Context& context) {
  if (options.report.empty() || !speaks()) return;
  const report::Findings findings{.model = m,
                                  .plan = &outcome.plan,
                                  .outcome = &outcome,
                                  .output = written ? options.out : "",
                                  .steps = options.steps,
                                  .trade_off = report::other_ratios(m, outcome.plan.options)};
  report::write_report(report::document(findings, line), options.report, options.force);
  context.note("report    " + printable(options.report));
}

Exit run_prune(Options& options, const CommandLine& line, Context& context) {
  check_options(options, context);
  if (!options.report.empty() && speaks()) report::check_report_path(options.report, options.force);
  if (options.stream)
    return run_stream({.in = options.in,
                       .out = options.out,
                       .plan_file = options.plan_file,
                       .memory = options.stream_memory,
                       .input = options.input,
                       .plan = options.plan,
                       .dry_run = options.dry_run,
                       .force = options.force},
                      context);
  if (!options.dry_run && speaks())
    models::check_save_path(options.out, {options.in, options.plan_file, options.plan.calibration},
                            options.force);
  AnalysedModel m = load_and_analyse(options.in, options.input);
  if (!options.plan.allow_nonfinite) require_finite(m.model);
  const Samples samples = shared_samples(options.plan, m.model, context);
  Origin origin(m);
  pruning::Plan plan = choose(options, m, samples, origin, context);
  announce(plan, m, context);
  if (!options.dry_run && speaks())
    models::io::check_disk_space(options.out, static_cast<std::uint64_t>(plan.after.parameter_bytes));
  Outcome outcome = shrink(options, m, std::move(plan), context.globals().seed);
  context.report(outcome.verification ? verdict_text(*outcome.verification, context.theme())
                                      : "verify    skipped (--no-verify)");
  const bool written = !options.dry_run && !(outcome.verification && !outcome.verification->ok);
  if (written) {
    mend(options, samples, m, origin, outcome, context);
    if (!speaks()) return Exit::Ok;  // what all have made the first process writes
    models::save(outcome.pruned, options.out, {.force = options.force});
  }
  write_report(options, m, outcome, written, line, context);
  return conclude(options, outcome, written, context);
}

}  // namespace

void add_prune(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app = line.add({.name = "prune",
                            .section = "Shrink",
                            .purpose = "plan, rewrite and verify in one step",
                            .examples = {"pollard prune model.pt2 small.pt2 --speedup 2x",
                                         "pollard prune model.pt2 small.pt2 --plan plan.json",
                                         "pollard prune model.pt2 small.safetensors --ratio 0.5 --dry-run"}},
                           [options, &line](Context& context) { return run_prune(*options, line, context); });
  app->add_option("IN", options->in, "the model")->type_name("FILE")->required();
  app->add_option("OUT", options->out, "the smaller model: .pt2, .safetensors or .onnx")
      ->type_name("FILE")
      ->required();
  add_plan_options(*app, options->plan);
  app->add_option("--plan", options->plan_file, "carry out this plan instead")
      ->type_name("FILE")
      ->group("More");
  app->add_option("--repair", options->repair, "how --calib mends: least-squares, batchnorm, none")
      ->type_name("HOW")
      ->check(CLI::IsMember({"least-squares", "batchnorm", "none"}))
      ->group("More");
  app->add_flag("--no-repair", options->no_repair, "the same as --repair none")->group("More");
  app->add_option("--repair-memory", options->memory,
                  "most bytes of activations; samples beyond are left out")
      ->type_name("N")
      ->group("More");
  app->add_option("--steps", options->steps, "budgets in N steps, repaired after each")
      ->type_name("N")
      ->check(CLI::Range(1, 100))
      ->group("Safety");
  app->add_option("--report", options->report, "a page that shows what was done and why: .html or .json")
      ->type_name("FILE")
      ->group("Safety");
  app->add_flag("--dry-run", options->dry_run, "write nothing")->group("Safety");
  app->add_flag("--no-verify", options->no_verify, "skip the proof against the masked original")
      ->group("More");
  app->add_option("--inputs", options->inputs, "how many inputs the proof runs")
      ->type_name("N")
      ->check(CLI::Range(1, 1000))
      ->group("More");
  app->add_flag("--force", options->force, "replace an existing OUT")->group("Safety");
  app->add_flag("--stream", options->stream,
                "from disk to disk: safetensors larger than memory; OUT is a folder")
      ->group("More");
  app->add_option("--memory", options->stream_memory, "of --stream's buffers")->type_name("N")->group("More");
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
