// SPDX-License-Identifier: Apache-2.0
#include "cli/fairness_options.h"

#include "cli/parse_errors.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "pruning/fairness/labelled.h"

namespace pollard::cli {
namespace {

namespace fairness = pruning::fairness;

std::vector<std::string> metric_names() {
  std::vector<std::string> out = fairness::bias_metric_names();
  out.emplace_back("toxicity");
  for (std::string& name : fairness::gap_names()) out.push_back(std::move(name));
  return out;
}

std::vector<std::string> method_names() {
  std::vector<std::string> out;
  for (const fairness::Method method : fairness::all_methods()) out.emplace_back(fairness::to_string(method));
  return out;
}

/// Adds options and flags under one heading.
class Heading {
 public:
  Heading(CLI::App& app, const char* group) : app_(app), group_(group) {}
  template <class T>
  CLI::Option* option(const char* name, T& value, const char* type, const char* text) {
    return app_.add_option(name, value, text)->type_name(type)->group(group_);
  }
  void flag(const char* name, bool& value, const char* text) {
    app_.add_flag(name, value, text)->group(group_);
  }

 private:
  CLI::App& app_;
  const char* group_;
};

void add_measuring(CLI::App& app, FairnessArguments& a) {
  Heading measure(app, "Measure"), more(app, "More");
  measure.option("--prompts", a.prompts, "FILE", "JSON of axes, subgroups and prompts");
  measure.option("--text", a.text, "FILE", "what performance is measured on");
  measure.option("--metric", a.metric, "NAME", "bias; a wrong NAME lists them")
      ->check(CLI::IsMember(metric_names()));
  measure.option("--axis", a.axes, "NAMES", "these axes: 'religion=2,gender'; weights if given");
  measure.option("--data", a.data, "FILE", "labelled examples and groups, for the gaps");
  measure.option("--classifier", a.classifier, "FILE", "what judges written texts, for toxicity");
  measure.option("--resume", a.resume, "FILE", "keep finished batches here, go on from them");
  more.option("--tokenizer", a.tokenizer, "FOLDER", "its files, when not beside MODEL");
  more.option("--units", a.units, "GLOBS", "score units of these parameters, not heads");
  more.option("--window", a.window, "N", "tokens of a window of the text")->check(CLI::Range(2, 1 << 20));
  more.option("--stride", a.stride, "N", "tokens between windows")->check(CLI::Range(1, 1 << 20));
  more.flag("--published", a.published, "perplexity as FASP's program takes it");
  more.flag("--baselines", a.baselines, "score magnitude and gradient too");
  more.option("--positive", a.positive, "CLASS", "the class the gaps are about");
  more.option("--classifier-tokenizer", a.classifier_tokenizer, "FOLDER", "of the classifier, likewise");
  more.option("--classifier-output", a.classifier_output, "N", "which of its outputs, from 0");
  more.flag("--softmax", a.softmax, "its outputs exclude each other");
  more.option("--draws", a.draws, "N", "texts written after each prompt")->check(CLI::Range(1, 1000));
  more.option("--new-tokens", a.new_tokens, "N", "their length")->check(CLI::Range(1, 1 << 16));
  more.option("--prompt-tokens", a.prompt_tokens, "N", "what of a prompt is read before")
      ->check(CLI::Range(1, 1 << 16));
}

void add_choosing(CLI::App& app, FairnessArguments& a) {
  Heading choose(app, "Choose"), more(app, "More");
  choose.option("--scores", a.scores, "FILE", "what score -o wrote");
  choose.option("--method", a.method, "NAME", "how; a wrong NAME lists them")
      ->check(CLI::IsMember(method_names()));
  choose.option("--alpha", a.alpha, "R", "share of the heads to remove");
  choose.option("--gamma", a.gamma, "R", "share kept because they matter most");
  choose.option("--floor", a.floor, "R", "remove fewer until performance is within: 2%");
  choose.flag("--greedy", a.greedy, "one at a time, scored again after each");
  choose.flag("--pareto", a.pareto, "several axes: weigh none against another");
  choose.option("--speedup", a.speedup, "2x", "then units of other groups too, until this");
  more.option("--params", a.parameters, "1.2M", "or until this many parameters");
}

void add_output(CLI::App& app, FairnessArguments& a) {
  Heading output(app, "Output"), more(app, "More");
  output.option("-o,--output", a.output, "FILE", "scores or plan, as JSON");
  output.option("--csv", a.csv, "FILE", "the table, as CSV");
  output.option("--svg", a.svg, "FILE", "front: bias against performance, a picture");
  output.flag("--force", a.force, "replace existing files");
  more.flag("--dry-run", a.dry_run, "prune: write no model");
  more.flag("--repair", a.repair, "prune: refit what is left on --text or --data");
  more.option("--calib", a.calibration, "FILE", "prune: or on these unlabelled samples");
}

}  // namespace

void add_fairness_options(CLI::App& app, FairnessArguments& a) {
  app.add_option("ACTION", a.action, "score, plan, prune or front")
      ->required()
      ->check(CLI::IsMember({"score", "plan", "prune", "front"}));
  app.add_option("MODEL", a.model, "the model")->type_name("FILE")->required();
  app.add_option("OUT", a.out, "prune: the smaller model")->type_name("FILE");
  add_measuring(app, a);
  add_choosing(app, a);
  add_output(app, a);
  add_model_options(app, a.input);
}

AxisChoice parse_axes(const std::string& text) {
  AxisChoice out;
  bool weighted = false;
  for (const std::string& item : text.empty() ? std::vector<std::string>{} : split(text, ',')) {
    const auto equals = item.rfind('=');
    weighted = weighted || equals != std::string::npos;
    out.names.push_back(item.substr(0, equals));
    out.weights.push_back(equals == std::string::npos ? 1 : parse_number(item.substr(equals + 1), "--axis"));
  }
  if (!weighted) out.weights.clear();
  return out;
}

fairness::Choice parse_choice(const FairnessArguments& a, std::uint64_t seed) {
  const fairness::Choice out{.method = *fairness::method_from_string(a.method),
                             .alpha = parse_fraction(a.alpha, "--alpha"),
                             .gamma = parse_fraction(a.gamma, "--gamma"),
                             .axis_weights = parse_axes(a.axes).weights,
                             .seed = seed,
                             .pareto = a.pareto};
  if (out.pareto && (out.method != fairness::Method::Fasp || !out.axis_weights.empty()))
    throw usage_error("E0206", "--pareto", "goes with --method fasp and axes without weights");
  return out;
}

}  // namespace pollard::cli
