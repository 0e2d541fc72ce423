// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/fairness_meters.h"
#include "cli/fairness_picture.h"
#include "cli/fairness_prune.h"
#include "cli/fairness_report.h"
#include "cli/health.h"
#include "cli/parse_errors.h"
#include "cli/plan_options.h"
#include "cli/plan_report.h"
#include "cli/ui/format.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "pruning/fairness/baselines.h"
#include "pruning/fairness/world_share.h"

namespace pollard::cli {
namespace {

namespace fairness = pruning::fairness;
using Arguments = FairnessArguments;

struct Measured {
  AnalysedModel model;
  std::optional<Meters> meters;  // when prompts were given
  fairness::Scoreboard board;
  bool first = true;  // of the processes that measured together: the one that goes on with the result
};

// Gradients of the loss a token; of an encoder, which has none, of its embedding along seeded random directions.
std::vector<double> gradients(const Arguments& a, const AnalysedModel& m,
                              const std::vector<fairness::Unit>& units, std::uint64_t seed) {
  const auto single = make_single_performance(a, m.model.program);
  return fairness::gradient_scores(m.model, m.dependencies, units, single->probe(),
                                   fairness::unit_loss(seed));
}

fairness::Scoreboard score(const Arguments& a, const AnalysedModel& m, const Meters& meters,
                           const fairness::Share& share, Context& context) {
  const std::vector<fairness::Unit> units =
      a.units.empty() ? fairness::attention_heads(m.dependencies)
                      : fairness::units_matching(m.model, m.dependencies, split(a.units, ','));
  if (units.empty())
    throw usage_error("E0203", "MODEL", "has no attention heads that can go",
                      "score units of other parameters with --units 'mlp*'");
  const fairness::Knockout knockout(m.model, m.dependencies, units);
  const std::int64_t runs =
      (std::ssize(units) - share.index + share.of - 1) / share.of + 1;  // of this process
  Progress progress = context.progress(
      "score", runs * (meters.performance->probe().batches() + meters.bias->probe().batches()), "runs");
  const auto advance = [&](std::int64_t, std::int64_t) {
    if (share.index == 0) progress.advance();
  };
  const fairness::ProbeOptions options{.progress = advance,
                                       .state = a.resume,
                                       .fingerprint = fingerprint(a, m.model.sha256, context.globals().seed),
                                       .share = share};
  fairness::Scoreboard board =
      fairness::score_units(knockout, m.dependencies, *meters.performance, *meters.bias, options);
  if (a.baselines && share.index == 0) {
    board.baselines["magnitude"] = fairness::magnitude_scores(m.model, m.dependencies, units);
    board.baselines["gradient"] = gradients(a, m, units, context.globals().seed);
  }
  return board;
}

// Of scores along more axes those that --axis names, in its order: what is measured, and what weights are about.
void keep_axes(fairness::Scoreboard& board, const std::vector<std::string>& names) {
  if (names.empty()) return;
  const fairness::Scoreboard all = board;
  board.axes.clear();
  board.bias_whole.clear();
  board.bias.clear();
  for (const std::string& name : names) {
    const auto found = std::ranges::find(all.axes, name);
    if (found == all.axes.end())
      throw usage_error("E0203", "--axis", "'" + name + "' is none of the axes that were scored");
    const auto at = static_cast<std::size_t>(found - all.axes.begin());
    board.axes.push_back(name);
    board.bias_whole.push_back(all.bias_whole[at]);
    board.bias.push_back(all.bias[at]);
  }
}

Measured prepare(const Arguments& a, Context& context) {
  const fairness::Share share = fairness::world_share();
  Measured out{
      .model = load_and_analyse(a.model, a.input), .meters = {}, .board = {}, .first = share.index == 0};
  require_finite(out.model.model);
  if (!a.scores.empty() && !out.first) return out;
  if (can_measure(a) || a.scores.empty() || a.action == "front")
    out.meters = make_meters(a, out.model.model.program, context.globals().seed);
  out.board = a.scores.empty() ? score(a, out.model, *out.meters, share, context)
                               : fairness::scoreboard_from_json(read_text_file(a.scores), out.model.model,
                                                                out.model.dependencies, a.scores);
  if (!out.first) return out;
  if (!a.scores.empty()) keep_axes(out.board, parse_axes(a.axes).names);
  context.report(fmt::format("whole     {} {:.6g}", out.board.performance_name, out.board.performance_whole));
  for (std::size_t i = 0; i < out.board.axes.size(); ++i)
    context.report(fmt::format("          {} bias, {} {:.6g}", out.board.bias_name, out.board.axes[i],
                               out.board.bias_whole[i]));
  return out;
}

void write_table(const Arguments& a, const Table& table) {
  if (!a.csv.empty()) write_text_file(a.csv, table.csv(), a.force);
}

Exit run_score(const Arguments& a, Context& context) {
  const Measured m = prepare(a, context);
  if (!m.first) return Exit::Ok;
  const std::string json = fairness::to_json(m.board);
  if (!a.output.empty()) write_text_file(a.output, json + "\n", a.force);
  write_table(a, score_table(m.board));
  if (context.json()) context.print_json({{"scores", Json::parse(json)}});
  context.print(score_table(m.board));
  context.report("note      " + std::string(m.meters->bias->caution()));
  if (!a.output.empty())
    context.next(fmt::format("pollard fairness plan {} --scores {} --alpha 0.1", a.model, a.output));
  return Exit::Ok;
}

/// The measures; when they cannot be made, an error that says which file is missing.
const Meters& meters_of(const Arguments& a, const Measured& m, Context& context) {
  if (!m.meters) make_meters(a, m.model.model.program, context.globals().seed);
  return *m.meters;
}

std::vector<std::int64_t> choose_units(const Arguments& a, const Measured& m, const fairness::Choice& choice,
                                       Context& context) {
  const models::Model& model = m.model.model;
  const graph::Dependencies& d = m.model.dependencies;
  const double slack = a.floor.empty() ? 0 : parse_fraction(a.floor, "--floor");
  if (a.greedy) {
    const Meters& meters = meters_of(a, m, context);
    Progress progress = context.progress("greedy", std::ssize(m.board.units), "heads");
    std::vector<std::int64_t> order =
        fairness::choose_greedily(model, d, m.board.units, *meters.performance, *meters.bias, choice,
                                  [&](std::int64_t done, std::int64_t) { progress.update(done); });
    progress.finish();
    if (a.floor.empty()) return order;
    return fairness::cut_to_floor(model, d, m.board, std::move(order), *meters.performance, slack);
  }
  if (a.floor.empty()) return fairness::choose(m.board, choice);
  return fairness::choose_within(model, d, m.board, choice, *meters_of(a, m, context).performance, slack);
}

pruning::Plan choose(const Arguments& a, const Measured& m, Context& context) {
  const fairness::Choice choice = parse_choice(a, context.globals().seed);
  pruning::Plan plan = fairness::plan_for(m.model.model, m.model.dependencies, m.board,
                                          choose_units(a, m, choice, context), choice);
  if (a.speedup.empty() && a.parameters.empty()) return plan;
  return fairness::join(
      m.model.model, m.model.dependencies, plan,
      plan_options({.speedup = a.speedup, .parameters = a.parameters}, "fairness", context.globals().seed));
}

Exit run_plan(const Arguments& a, Context& context) {
  const Measured m = prepare(a, context);
  if (!m.first) return Exit::Ok;
  const pruning::Plan plan = choose(a, m, context);
  const std::string json = pruning::to_json(plan, m.model.model, m.model.dependencies);
  if (!a.output.empty()) write_text_file(a.output, json + "\n", a.force);
  if (context.json()) context.print_line(json);
  report_plan(plan, m.model.dependencies, context);
  context.print(change_table(plan));
  if (!a.output.empty()) context.next(fmt::format("pollard prune {} small.pt2 --plan {}", a.model, a.output));
  return Exit::Ok;
}

/// Performance, and every axis and subgroup, before and after.
std::vector<StandingRow> compare(const Arguments& a, const Measured& m, const models::Model& pruned,
                                 Context& context) {
  const auto before = fairness::stand(m.model.model, *m.meters->performance, *m.meters->bias);
  const auto after =
      fairness::stand(pruned, *m.meters->performance, *m.meters->bias, before.performance_numbers);
  context.report(fmt::format("after     {} {:.6g} -> {:.6g}", m.board.performance_name, before.performance,
                             after.performance));
  std::vector<StandingRow> rows = standing(before.bias, after.bias, context.globals().seed);
  write_table(a, standing_numbers(rows));
  context.print(standing_table(rows));
  context.report("note      " + std::string(m.meters->bias->caution()));
  return rows;
}

Exit run_prune(const Arguments& a, Context& context) {
  if (a.out.empty()) throw usage_error("E0204", "fairness prune", "needs OUT: where the smaller model goes");
  models::check_save_path(a.out, {a.model}, a.force);
  const Measured m = prepare(a, context);
  if (!m.first) return Exit::Ok;
  const pruning::Plan plan = choose(a, m, context);
  report_plan(plan, m.model.dependencies, context);
  context.print(change_table(plan));
  const Outcome outcome = carry_out(a, m.model, plan, context);
  const bool proved = outcome.verification && outcome.verification->ok;
  std::vector<StandingRow> rows;
  if (proved && m.meters) rows = compare(a, m, outcome.pruned, context);
  if (context.json()) {
    Json json = to_json(outcome, a.model, proved && !a.dry_run ? a.out : "");
    json["standing"] = to_json(rows);
    context.print_json(json);
  }
  return proved ? Exit::Ok : Exit::GateFailed;
}

Exit run_front(const Arguments& a, Context& context) {
  const Measured m = prepare(a, context);
  if (!m.first) return Exit::Ok;
  const auto grid = fairness::published_grid(m.board, parse_choice(a, 0), 5);
  Progress progress = context.progress("front", std::ssize(grid), "choices");
  const auto outcomes =
      fairness::outcomes(m.model.model, m.model.dependencies, m.board, grid, *m.meters->performance,
                         *m.meters->bias, [&](std::int64_t done, std::int64_t) { progress.update(done); });
  progress.finish();
  write_table(a, outcome_numbers(outcomes, m.board.axes));
  if (!a.svg.empty())
    write_text_file(a.svg, front_picture(outcomes, m.board.performance_name, m.board.bias_name), a.force);
  if (context.json()) context.print_json({{"outcomes", to_json(outcomes, m.board.axes)}});
  context.print(front_table(outcomes, false));
  context.report("note      " + std::string(m.meters->bias->caution()));
  return Exit::Ok;
}

}  // namespace

void add_fairness(CommandLine& line) {
  auto a = std::make_shared<Arguments>();
  CLI::App* app =
      line.add({.name = "fairness",
                .section = "Shrink",
                .purpose = "score and prune heads by their effect on bias",
                .examples = {"pollard fairness score lm.pt2 --prompts p.json --text t.json -o s.json",
                             "pollard fairness plan lm.pt2 --scores s.json --alpha 0.25 --gamma 0.3",
                             "pollard fairness prune lm.pt2 fair.pt2 --scores s.json --alpha 0.25"}},
               [a](Context& context) {
                 check_text_outputs({a->output, a->csv, a->svg}, {a->model, a->scores}, a->force);
                 if (a->action == "score") return run_score(*a, context);
                 if (a->action == "plan") return run_plan(*a, context);
                 return a->action == "prune" ? run_prune(*a, context) : run_front(*a, context);
               });
  add_fairness_options(*app, *a);
}

}  // namespace pollard::cli
