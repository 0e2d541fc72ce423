// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "cli/parse_errors.h"
#include "cli/prune_outcome.h"
#include "cli/runtime.h"
#include "cli/ui/format.h"
#include "cli/ui/quantity.h"
#include "cli/ui/suggest.h"
#include "cli/ui/text.h"
#include "graph/error.h"
#include "kernels/communicator.h"
#include "pruning/latency_rounds.h"
#include "pruning/latency_table.h"
#include "pruning/op_times.h"
#include "pruning/rewrite.h"

namespace pollard::cli {
namespace {

/// What a file says of its origin beside the plan, rounded up.
constexpr std::int64_t kProvenanceBytes = 1024;

void add_targets(CLI::App& app, PlanArguments& a) {
  const auto target = [&](const char* name, std::string& value, const char* type, const char* text,
                          const char* group = "Target") {
    app.add_option(name, value, text)->type_name(type)->group(group);
  };
  target("--ratio", a.ratio, "0.5", "share of the units to remove");
  target("--speedup", a.speedup, "2x", "multiply-accumulates shrink by this factor");
  target("--params", a.parameters, "1.2M", "at most this many parameters stay");
  target("--macs", a.macs, "60M", "at most this many multiply-accumulates stay");
  target("--activations", a.activations, "1M", "at most this many bytes of activations at once", "More");
  target("--file-size", a.file_size, "1M", "at most this many bytes on disk; budgets may join", "More");
  target("--latency", a.latency, "0.5x", "at most so long a run here: 3ms, or a share of the present",
         "More");
  target("--heads", a.heads, "0.25", "share of the attention heads; may join another target");
  target("--head-dim", a.head_dim, "0.25", "share of every head's dimension; may join too", "More");
}

void add_scope(CLI::App& app, PlanArguments& a) {
  const auto option = [&](const char* name, auto& value, const char* type, const std::string& text) {
    return app.add_option(name, value, text)->type_name(type)->group("Scope");
  };
  option("--criterion", a.criterion, "NAME", "how units are ranked; a wrong NAME lists them");
  option("--scope", a.scope, "SCOPE", "local, global, isomorphic, predicted or measured")
      ->check(CLI::IsMember({"local", "global", "isomorphic", "predicted", "measured"}));
  option("--ignore", a.ignore, "GLOBS", "leave these parameters' groups whole: 'head.*,stem.*'");
  option("--only", a.only, "GLOBS", "prune only groups that touch these parameters");
  option("--layer", a.layers, "GLOB=R", "a ratio of their own: 'stages.2.*=0.7,fc*=0'")->group("More");
  option("--round-to", a.round_to, "N", "widths stay multiples of N, or auto");
  option("--latency-table", a.latency_table, "FILE", "where op times are kept; default the user's cache")
      ->group("More");
  option("--min-width", a.min_width, "N", "no group gets narrower")
      ->check(CLI::Range(1, 1 << 30))
      ->group("More");
  option("--max-ratio", a.max_ratio, "R", "no group loses a larger share")->group("More");
  app.add_flag("--exact", a.exact, "only groups whose removal is exact, none renormalised")->group("Scope");
  app.add_flag("--allow-nonfinite", a.allow_nonfinite, "NaN and infinite weights: keep their units, go on")
      ->group("More");
}

void add_samples(CLI::App& app, PlanArguments& a) {
  const auto option = [&](const char* name, auto& value, const char* type, const char* text) {
    return app.add_option(name, value, text)->type_name(type)->group("More");
  };
  option("--calib", a.calibration, "FILE", "samples: .safetensors, .npz, IDX or text")->group("Samples");
  option("--samples", a.samples, "N", "only the first N of them")->check(CLI::Range(1, 1 << 30));
  option("--labels", a.labels, "FILE", "their classes, for criteria of a loss: IDX or .npy");
  option("--tokenizer", a.tokenizer, "FOLDER", "the samples are text, a line each: its tokenizer");
  option("--scale", a.scale, "M,S", "bytes of images become (byte / 255 - M) / S");
}

pruning::CalibrationOptions calibration_options(const PlanArguments& a) {
  pruning::CalibrationOptions out{.labels = a.labels, .tokenizer = a.tokenizer, .most = a.samples};
  if (a.scale.empty()) return out;
  const std::vector<std::string> parts = split(a.scale, ',');
  char* end = nullptr;
  out.mean = std::strtod(parts[0].c_str(), &end);
  const bool first = end && *end == 0;
  if (parts.size() == 2) out.spread = std::strtod(parts[1].c_str(), &end);
  if (parts.size() != 2 || !first || *end != 0 || !(out.spread > 0))
    throw usage_error("E0203", "--scale",
                      fmt::format("\"{}\" is not MEAN,SPREAD, for example 0.286,0.353", a.scale));
  return out;
}

std::optional<double> fraction(const std::string& text, const char* option) {
  return text.empty() ? std::nullopt : std::optional(parse_fraction(text, option));
}

std::vector<std::string> globs(const std::string& text) {
  return text.empty() ? std::vector<std::string>{} : split(text, ',');
}

std::pair<std::string, double> layer_ratio(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0)
    throw usage_error("E0203", "--layer",
                      fmt::format("\"{}\" is not GLOB=RATIO, for example stages.2.*=0.7", text));
  return {text.substr(0, equals), parse_fraction(text.substr(equals + 1), "--layer")};
}

/// "3ms", or "0.5x" of what the network takes now.
void read_latency(const std::string& text, pruning::PlanOptions& options) {
  if (!text.ends_with('x')) {
    options.max_seconds = parse_seconds(text, "--latency");
    return;
  }
  options.seconds_share = parse_fraction(text.substr(0, text.size() - 1), "--latency");
}

std::int64_t parse_multiple(const std::string& text) {
  const std::int64_t multiple = parse_count(text, "--round-to");
  if (multiple >= 1 && multiple <= 1 << 20) return multiple;
  throw usage_error("E0203", "--round-to", fmt::format("\"{}\" is not between 1 and 1048576, or auto", text));
}

// A slip of the keyboard; what is not near any is refused with the list of all where it is made.
void check_criterion(const std::string& text) {
  const std::string name = text.substr(0, text.find(':'));
  std::vector<std::string> known;
  for (const pruning::CriterionInfo& info : pruning::known_criteria()) known.push_back(info.name);
  const auto near = closest(name, known);
  if (!near || *near == name || std::ranges::count(known, name) > 0) return;
  throw usage_error("E0208", "--criterion",
                    fmt::format("unknown criterion \"{}\"; did you mean \"{}\"?", name, *near));
}

void check_targets(const PlanArguments& a, const std::string& command) {
  const auto given = [](const std::string& text) { return text.empty() ? 0 : 1; };
  const int budgets = given(a.speedup) + given(a.parameters) + given(a.macs) + given(a.activations) +
                      given(a.file_size) + given(a.latency);
  const int shares = given(a.heads) + given(a.head_dim) + given(a.layers);
  if (!a.ratio.empty() && budgets > 0)
    throw usage_error(
        "E0206", command, "takes one target",
        "--ratio, or budgets (--speedup, --params, --macs, --activations, --file-size, --latency)");
  if (given(a.ratio) + budgets + shares == 0)
    throw usage_error("E0207", command, "needs a target: one of --speedup, --ratio, --params, --macs",
                      "half the multiply-accumulates, for example: --speedup 2x");
}

}  // namespace

void add_plan_options(CLI::App& app, PlanArguments& arguments) {
  add_targets(app, arguments);
  add_scope(app, arguments);
  add_samples(app, arguments);
}

pruning::PlanOptions plan_options(const PlanArguments& a, const std::string& command, std::uint64_t seed) {
  check_targets(a, command);
  pruning::PlanOptions options;
  options.ratio = fraction(a.ratio, "--ratio");
  if (!a.speedup.empty()) options.speedup = parse_factor(a.speedup, "--speedup");
  if (!a.parameters.empty()) options.max_parameters = parse_count(a.parameters, "--params");
  if (!a.macs.empty()) options.max_macs = parse_count(a.macs, "--macs");
  if (!a.activations.empty()) options.max_activation_bytes = parse_count(a.activations, "--activations");
  if (!a.file_size.empty()) options.max_stored_bytes = parse_count(a.file_size, "--file-size");
  if (!a.latency.empty()) read_latency(a.latency, options);
  options.latency_table =
      a.latency_table.empty() ? pruning::LatencyTable::default_path().string() : a.latency_table;
  options.heads = fraction(a.heads, "--heads");
  options.head_dim = fraction(a.head_dim, "--head-dim");
  options.scope = pruning::scope_from_string(a.scope);
  check_criterion(a.criterion);
  options.criterion = a.criterion;
  for (const std::string& layer : globs(a.layers)) options.layers.push_back(layer_ratio(layer));
  options.ignore = globs(a.ignore);
  options.only = globs(a.only);
  options.min_width = a.min_width;
  options.max_ratio = parse_fraction(a.max_ratio, "--max-ratio");
  options.round_measured = a.round_to == "auto";
  if (!options.round_measured) options.round_to = parse_multiple(a.round_to);
  options.exact_only = a.exact;
  options.allow_nonfinite = a.allow_nonfinite;
  options.seed = seed;
  return options;
}

std::optional<pruning::CalibrationSet> read_samples(const PlanArguments& a, const models::Model& model) {
  if (!a.calibration.empty())
    return pruning::read_calibration(a.calibration, model.program, calibration_options(a));
  pruning::require_calibration(*pruning::make_criterion(a.criterion), nullptr);
  return std::nullopt;
}

std::optional<pruning::CalibrationSet> shared_samples(const PlanArguments& a, const models::Model& model,
                                                      Context& context) {
  std::optional<pruning::CalibrationSet> samples = read_samples(a, model);
  const int processes = job().size();
  if (!samples || processes == 1) return samples;
  samples->job = &job();
  context.report(fmt::format("job       {} processes share the samples", processes));
  return samples;
}

void check_job(const PlanArguments& a) {
  if (job().size() == 1 || (a.latency.empty() && a.round_to != "auto")) return;
  throw usage_error("E0206", a.latency.empty() ? "--round-to auto" : "--latency",
                    "does not go with several processes",
                    "times are measured on a machine that does nothing else: make the plan in one process "
                    "with plan -o FILE, then prune --plan FILE");
}

std::int64_t bytes_beside_weights(const AnalysedModel& m) {
  const graph::CostModel cost(m.model.program, m.dependencies);
  return std::max<std::int64_t>(
      0, file_size(m.path) - cost.evaluate(graph::full_widths(m.dependencies)).stored_bytes);
}

namespace {

pruning::Plan plan_for_size(pruning::PlanOptions options, const AnalysedModel& m,
                            const pruning::CalibrationSet* samples) {
  if (!options.max_stored_bytes) return pruning::make_plan(m.model, m.dependencies, options, samples);
  const std::int64_t beside = options.file_overhead;
  // A smaller network has another plan, of another length: a few rounds settle it.
  for (int round = 0;; ++round) {
    pruning::Plan plan = pruning::make_plan(m.model, m.dependencies, options, samples);
    const auto text = static_cast<std::int64_t>(pruning::to_json(plan, m.model, m.dependencies).size());
    if (plan.after.stored_bytes + beside + text + kProvenanceBytes <= *options.max_stored_bytes || round == 4)
      return plan;
    options.file_overhead = beside + text + kProvenanceBytes;
  }
}

/// The first process's plan, everywhere: processors of different kinds round differently.
pruning::Plan agreed(pruning::Plan plan, const AnalysedModel& m) {
  kernels::Communicator& all = job();
  if (all.size() == 1) return plan;
  const std::string json = all.broadcast(pruning::to_json(plan, m.model, m.dependencies), 0);
  return all.first() ? std::move(plan) : pruning::plan_from_json(json, m.model, m.dependencies);
}

}  // namespace

pruning::Plan plan_for(pruning::PlanOptions options, const AnalysedModel& m,
                       const pruning::CalibrationSet* samples) {
  constexpr int kRuns = 25;
  if (!options.has_latency()) return agreed(plan_for_size(std::move(options), m, samples), m);
  return pruning::plan_for_latency(
      std::move(options),
      {.plan = [&](const pruning::PlanOptions& next) { return plan_for_size(next, m, samples); },
       .race =
           [&](const pruning::Plan& plan) {
             const models::Model small = pruning::prune(m.model, m.dependencies, plan.removal);
             const auto seconds = pruning::race_models({&m.model, &small}, kRuns);
             return std::pair(seconds[0], seconds[1]);
           }});
}

std::string as_typed(const PlanArguments& a) {
  const std::pair<const char*, const std::string*> options[] = {
      {"speedup", &a.speedup},         {"ratio", &a.ratio},
      {"params", &a.parameters},       {"macs", &a.macs},
      {"activations", &a.activations}, {"file-size", &a.file_size},
      {"latency", &a.latency},         {"heads", &a.heads},
      {"head-dim", &a.head_dim},       {"scope", &a.scope}};
  std::string out;
  for (const auto& [name, value] : options)
    if (!value->empty()) out += fmt::format(" --{} {}", name, *value);
  for (const auto& [name, value] : {std::pair{"ignore", &a.ignore}, {"only", &a.only}, {"layer", &a.layers}})
    if (!value->empty()) out += fmt::format(" --{} '{}'", name, *value);
  if (a.criterion != "magnitude") out += " --criterion " + a.criterion;
  for (const auto& [name, value] : {std::pair{"calib", &a.calibration},
                                    {"labels", &a.labels},
                                    {"tokenizer", &a.tokenizer},
                                    {"scale", &a.scale}})
    if (!value->empty()) out += fmt::format(" --{} {}", name, *value);
  if (a.samples > 0) out += fmt::format(" --samples {}", a.samples);
  if (!a.latency_table.empty()) out += " --latency-table " + a.latency_table;
  if (a.round_to != "1") out += fmt::format(" --round-to {}", a.round_to);
  if (a.min_width != 1) out += fmt::format(" --min-width {}", a.min_width);
  if (a.max_ratio != "1") out += " --max-ratio " + a.max_ratio;
  if (a.allow_nonfinite) out += " --allow-nonfinite";
  return out + (a.exact ? " --exact" : "");
}

std::string target_text(const pruning::Plan& plan) {
  const pruning::PlanOptions& o = plan.options;
  std::vector<std::string> parts;
  if (o.speedup)
    parts.push_back("MACs <= " + format_short(static_cast<double>(plan.before.macs) / *o.speedup));
  if (o.max_macs) parts.push_back("MACs <= " + format_short(static_cast<double>(*o.max_macs)));
  if (o.max_parameters) parts.push_back("parameters <= " + format_count(*o.max_parameters));
  if (o.max_activation_bytes)
    parts.push_back("activations <= " + format_bytes(static_cast<double>(*o.max_activation_bytes)));
  if (o.max_stored_bytes)
    parts.push_back("file <= " + format_bytes(static_cast<double>(*o.max_stored_bytes)));
  if (o.max_seconds) parts.push_back(fmt::format("latency <= {}", format_seconds(*o.max_seconds)));
  if (o.ratio) parts.push_back(fmt::format("{:g} % of the units", 100 * *o.ratio));
  if (o.heads) parts.push_back(fmt::format("{:g} % of the heads", 100 * *o.heads));
  if (o.head_dim) parts.push_back(fmt::format("{:g} % of each head", 100 * *o.head_dim));
  for (const auto& [pattern, ratio] : o.layers)
    parts.push_back(fmt::format("{:g} % of {}", 100 * ratio, pattern));
  return join(parts, ", ");
}

std::string method_text(const pruning::PlanOptions& o) {
  const auto scope = pruning::effective_scope(o);
  std::string text = fmt::format("criterion {}, {}", o.criterion, pruning::to_string(scope));
  if (o.round_measured) text += ", round to what runs fast";
  if (o.round_to > 1) text += fmt::format(", round to {}", o.round_to);
  if (o.exact_only) text += ", exact groups only";
  if (!o.ignore.empty()) text += ", ignoring " + join(o.ignore, " ");
  if (!o.only.empty()) text += ", only " + join(o.only, " ");
  return text;
}

}  // namespace pollard::cli
