// SPDX-License-Identifier: Apache-2.0
#include "cli/fairness_options.h"

#include <algorithm>
#include <filesystem>

#include "cli/parse_errors.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "models/data/byte_bpe.h"
#include "models/data/wordpiece.h"
#include "models/io/json.h"

namespace pollard::cli {
namespace {

namespace fairness = pruning::fairness;
using fairness::Encode;
using fairness::TokenIds;

/// The tokenizer in the model's folder, or in the one that was named; none when there is no such file.
Encode tokenizer_of(const FairnessArguments& a, bool encoder) {
  namespace fs = std::filesystem;
  const fs::path folder = a.tokenizer.empty() ? fs::path(a.model).parent_path() : fs::path(a.tokenizer);
  const auto has = [&](const char* file) { return fs::exists(folder / file); };
  if (encoder && (has("vocab.txt") || has("tokenizer.json")))
    return [t = std::make_shared<models::WordPiece>(models::WordPiece::from_folder(folder))](
               const std::string& text) { return t->ids(text); };
  if (!encoder && (has("tokenizer.json") || has("merges.txt")))
    return [t = std::make_shared<models::ByteBpe>(models::ByteBpe::from_folder(folder))](
               const std::string& text) { return t->ids(text); };
  if (!a.tokenizer.empty())
    throw usage_error("E0203", "--tokenizer", "the folder holds no tokenizer of this model's kind",
                      "vocab.txt, tokenizer.json, or vocab.json with merges.txt");
  return {};
}

TokenIds encoded(const Encode& encode, const std::string& text) {
  if (encode) return encode(text);
  throw usage_error("E0203", "--text", "holds text, but no tokenizer is known",
                    "name its folder with --tokenizer, or give token ids as a .json list");
}

/// Token ids of one text each: a .json file has one list of ids or a list of such lists and texts; of any other
/// file every line is a text, or all of it when `whole`.
std::vector<TokenIds> read_texts(const std::string& path, const Encode& encode, bool whole) {
  const std::string content = read_text_file(path);
  std::vector<TokenIds> out;
  if (!path.ends_with(".json")) {
    if (whole) return {encoded(encode, content)};
    for (const std::string& line : split(content, '\n'))
      if (!line.empty()) out.push_back(encoded(encode, line));
    return out;
  }
  const auto json = models::io::parse_json(content, path, 4);
  try {
    if (!json.empty() && json.at(0).is_number()) return {json.get<TokenIds>()};
    for (const auto& item : json)
      out.push_back(item.is_string() ? encoded(encode, item.get<std::string>()) : item.get<TokenIds>());
  } catch (const nlohmann::json::exception&) {
    throw usage_error("E0203", "--text", "is no list of token ids, nor of texts",
                      "[464, 3290, 318], for example");
  }
  return out;
}

fairness::Windows windows_of(const FairnessArguments& a, const graph::Program& program) {
  const std::int64_t longest = fairness::TokenInputs(program).longest().value_or(1024);
  fairness::Windows w =
      a.published ? fairness::Windows::as_published(longest) : fairness::Windows::corrected(longest);
  if (a.window > 0) w.window = w.stride = a.window;
  if (a.stride > 0) w.stride = a.stride;
  return w;
}

bool is_encoder_metric(const std::string& metric) { return metric == "association"; }

std::unique_ptr<fairness::PerformanceMetric> make_performance(const FairnessArguments& a,
                                                              const graph::Program& program,
                                                              const Encode& encode, std::int64_t tokens) {
  if (a.text.empty())
    throw usage_error("E0204", "fairness " + a.action, "needs --text: what performance is measured on",
                      "plain text, one sentence a line for encoders");
  if (is_encoder_metric(a.metric))
    return fairness::make_embedding_shift(program, read_texts(a.text, encode, false));
  TokenIds all;
  for (const TokenIds& ids : read_texts(a.text, encode, true)) all.insert(all.end(), ids.begin(), ids.end());
  return fairness::make_perplexity(program, all, windows_of(a, program), tokens);
}

}  // namespace

void add_fairness_options(CLI::App& app, FairnessArguments& a) {
  app.add_option("ACTION", a.action, "score, plan, prune or front")
      ->required()
      ->check(CLI::IsMember({"score", "plan", "prune", "front"}));
  app.add_option("MODEL", a.model, "the model")->type_name("FILE")->required();
  app.add_option("OUT", a.out, "prune: the smaller model")->type_name("FILE");
  const auto option = [&](const char* name, auto& value, const char* type, const char* text,
                          const char* group) {
    return app.add_option(name, value, text)->type_name(type)->group(group);
  };
  option("--prompts", a.prompts, "FILE", "JSON of axes, subgroups and prompts", "Measure");
  option("--text", a.text, "FILE", "what performance is measured on", "Measure");
  option("--metric", a.metric, "NAME", "bias: attribute, descriptor, pairs or association", "Measure")
      ->check(CLI::IsMember(fairness::bias_metric_names()));
  option("--axis", a.axes, "NAMES", "these axes: 'religion=2,gender'; weights if given", "Measure");
  option("--tokenizer", a.tokenizer, "FOLDER", "its files, when not beside MODEL", "Measure");
  option("--units", a.units, "GLOBS", "score units of these parameters, not heads", "More");
  option("--window", a.window, "N", "tokens of a window of the text", "More")->check(CLI::Range(2, 1 << 20));
  option("--stride", a.stride, "N", "tokens between windows", "More")->check(CLI::Range(1, 1 << 20));
  app.add_flag("--published", a.published, "perplexity as FASP's program takes it")->group("More");
  app.add_flag("--baselines", a.baselines, "score magnitude and gradient too")->group("Measure");
  option("--resume", a.resume, "FILE", "keep finished batches here, go on from them", "Measure");
  option("--scores", a.scores, "FILE", "what score -o wrote", "Choose");
  option("--method", a.method, "NAME", "fasp, performance, bias, magnitude, gradient, random", "Choose")
      ->check(CLI::IsMember({"fasp", "performance", "bias", "magnitude", "gradient", "random"}));
  option("--alpha", a.alpha, "R", "share of the heads to remove", "Choose");
  option("--gamma", a.gamma, "R", "share kept because they matter most", "Choose");
  option("--floor", a.floor, "R", "remove fewer until performance is within: 2%", "Choose");
  app.add_flag("--greedy", a.greedy, "one at a time, scored again after each")->group("Choose");
  option("--speedup", a.speedup, "2x", "prune: then other groups too, until this", "Choose");
  option("--params", a.parameters, "1.2M", "prune: or until this many parameters", "More");
  option("-o,--output", a.output, "FILE", "scores or plan, as JSON", "Output");
  option("--csv", a.csv, "FILE", "the table, as CSV", "Output");
  option("--svg", a.svg, "FILE", "front: bias against performance, a picture", "Output");
  option("--calib", a.calibration, "FILE", "prune: unlabelled samples to refit what is left", "More");
  app.add_flag("--dry-run", a.dry_run, "write no model")->group("Output");
  app.add_flag("--force", a.force, "replace existing files")->group("Output");
  add_model_options(app, a.input);
}

Meters make_meters(const FairnessArguments& a, const graph::Program& program) {
  if (a.prompts.empty())
    throw usage_error("E0204", "fairness " + a.action, "needs --prompts: what bias is measured with",
                      "demo/prompts.json is a small set to begin with");
  const Encode encode = tokenizer_of(a, is_encoder_metric(a.metric));
  const fairness::PromptSet prompts = fairness::read_prompts(a.prompts);
  return {.performance = make_performance(a, program, encode, 2048),
          .bias = fairness::make_bias_metric(a.metric, program, prompts, parse_axes(a.axes).names, encode)};
}

std::unique_ptr<fairness::PerformanceMetric> make_single_performance(const FairnessArguments& a,
                                                                     const graph::Program& program) {
  return make_performance(a, program, tokenizer_of(a, is_encoder_metric(a.metric)), 1);
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
  return {.method = *fairness::method_from_string(a.method),
          .alpha = parse_fraction(a.alpha, "--alpha"),
          .gamma = parse_fraction(a.gamma, "--gamma"),
          .axis_weights = parse_axes(a.axes).weights,
          .seed = seed};
}

}  // namespace pollard::cli
