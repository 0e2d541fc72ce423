// SPDX-License-Identifier: Apache-2.0
#include "cli/fairness_meters.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/commands/generate.h"
#include "cli/parse_errors.h"
#include "cli/ui/text.h"
#include "models/data/byte_bpe.h"
#include "models/data/wordpiece.h"
#include "models/io/file.h"
#include "models/io/json.h"
#include "pruning/fairness/labelled.h"
#include "pruning/fairness/refit_samples.h"
#include "pruning/fairness/toxicity.h"

namespace pollard::cli {
namespace {

namespace fairness = pruning::fairness;
namespace fs = std::filesystem;
using fairness::Encode;
using fairness::TokenIds;

/// Words to ids, and for language models back; empty functions when there are no files.
struct Tokenizer {
  Encode encode;
  std::function<std::string(const TokenIds&)> words;
};

Tokenizer word_pieces(const fs::path& folder) {
  const auto t = std::make_shared<models::WordPiece>(models::WordPiece::from_folder(folder));
  return {.encode = [t](const std::string& text) { return t->ids(text); }, .words = {}};
}

Tokenizer byte_pairs(const fs::path& folder) {
  const auto t = std::make_shared<models::ByteBpe>(models::ByteBpe::from_folder(folder));
  return {.encode = [t](const std::string& text) { return t->ids(text); },
          .words = [t](const TokenIds& ids) { return t->text(ids); }};
}

bool is_encoder_metric(const std::string& metric) { return metric == "association"; }
bool is_gap(const std::string& metric) { return fairness::gap_from_string(metric).has_value(); }

/// The tokenizer in the model's folder, or in the one that was named; none when there is no such file.
Tokenizer tokenizer_of(const FairnessArguments& a) {
  const fs::path folder = a.tokenizer.empty() ? fs::path(a.model).parent_path() : fs::path(a.tokenizer);
  const auto has = [&](const char* file) { return fs::exists(folder / file); };
  const bool encoder = is_encoder_metric(a.metric);
  if (encoder && (has("vocab.txt") || has("tokenizer.json"))) return word_pieces(folder);
  if (!encoder && (has("tokenizer.json") || has("merges.txt"))) return byte_pairs(folder);
  if (!a.tokenizer.empty())
    throw usage_error("E0203", "--tokenizer", "the folder holds no tokenizer of this model's kind",
                      "vocab.txt, tokenizer.json, or vocab.json with merges.txt");
  return {};
}

/// Without a folder of its own the classifier reads the language model's ids.
Encode classifier_encode(const FairnessArguments& a) {
  const fs::path named(a.classifier_tokenizer),
      folder = named.empty() ? fs::path(a.classifier).parent_path() : named;
  if (fs::exists(folder / "vocab.txt")) return word_pieces(folder).encode;
  if (named.empty()) return {};
  return byte_pairs(folder).encode;
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

TokenIds whole_text(const FairnessArguments& a, const Encode& encode) {
  TokenIds all;
  for (const TokenIds& ids : read_texts(a.text, encode, true)) all.insert(all.end(), ids.begin(), ids.end());
  return all;
}

fairness::Windows windows_of(const FairnessArguments& a, const graph::Program& program) {
  const std::int64_t longest = fairness::TokenInputs(program).longest().value_or(1024);
  fairness::Windows w =
      a.published ? fairness::Windows::as_published(longest) : fairness::Windows::corrected(longest);
  if (a.window > 0) w.window = w.stride = a.window;
  if (a.stride > 0) w.stride = a.stride;
  return w;
}

void need(const FairnessArguments& a, const std::string& value, const char* option, const char* what,
          const char* help) {
  if (value.empty())
    throw usage_error("E0204", "fairness " + a.action, fmt::format("needs {}: {}", option, what), help);
}

std::unique_ptr<fairness::PerformanceMetric> make_performance(const FairnessArguments& a,
                                                              const graph::Program& program,
                                                              const Encode& encode, std::int64_t tokens) {
  need(a, a.text, "--text", "what performance is measured on",
       "plain text, one sentence a line for encoders");
  if (is_encoder_metric(a.metric))
    return fairness::make_embedding_shift(program, read_texts(a.text, encode, false));
  return fairness::make_perplexity(program, whole_text(a, encode), windows_of(a, program), tokens);
}

std::unique_ptr<fairness::BiasMetric> make_writing(const FairnessArguments& a,
                                                   const fairness::PromptSet& prompts,
                                                   const Tokenizer& tokenizer, std::uint64_t seed) {
  need(a, a.classifier, "--classifier", "what judges the texts the model writes",
       "any program of token ids to [texts, classes]");
  const fairness::Judge judge =
      fairness::judge_by(models::load(a.classifier), {.index = a.classifier_output, .softmax = a.softmax},
                         tokenizer.words, classifier_encode(a));
  return fairness::make_toxicity(prompts, parse_axes(a.axes).names, tokenizer.encode, judge,
                                 {.prompt_tokens = a.prompt_tokens,
                                  .new_tokens = a.new_tokens,
                                  .draws = a.draws,
                                  .seed = seed,
                                  .stop = ends_of(a.model)});
}

fairness::Labelled labelled(const FairnessArguments& a, const graph::Program& program) {
  need(a, a.data, "--data", "labelled examples with their groups",
       "a .safetensors or .npz with the inputs, \"labels\" and \"groups\"");
  return fairness::read_labelled(a.data, program);
}

}  // namespace

Meters make_meters(const FairnessArguments& a, const graph::Program& program, std::uint64_t seed) {
  if (is_gap(a.metric)) {
    const fairness::Labelled data = labelled(a, program);
    return {.performance = fairness::make_error_rate(data),
            .bias = fairness::make_group_gap(data, *fairness::gap_from_string(a.metric), a.positive)};
  }
  need(a, a.prompts, "--prompts", "what bias is measured with",
       "demo/prompts.json is a small set to begin with");
  const Tokenizer tokenizer = tokenizer_of(a);
  const fairness::PromptSet prompts = fairness::read_prompts(a.prompts);
  Meters out{.performance = make_performance(a, program, tokenizer.encode, 2048), .bias = {}};
  out.bias = a.metric == "toxicity" ? make_writing(a, prompts, tokenizer, seed)
                                    : fairness::make_bias_metric(a.metric, program, prompts,
                                                                 parse_axes(a.axes).names, tokenizer.encode);
  return out;
}

std::unique_ptr<fairness::PerformanceMetric> make_single_performance(const FairnessArguments& a,
                                                                     const graph::Program& program) {
  if (is_gap(a.metric))
    throw usage_error("E0206", "--baselines", "have no gradients of an error rate",
                      "leave it out with --data");
  return make_performance(a, program, tokenizer_of(a).encode, 1);
}

bool can_measure(const FairnessArguments& a) { return !(is_gap(a.metric) ? a.data : a.prompts).empty(); }

std::string fingerprint(const FairnessArguments& a, const std::string& model_sha256, std::uint64_t seed) {
  std::string out = model_sha256;
  for (const std::string& path : {a.prompts, a.text, a.data, a.classifier})
    out += " " + (path.empty() ? "-" : models::io::sha256(*models::io::open_file(path)));
  return out + fmt::format(" {} {} {} {} {} {} {} {} {} {} {} {} {}", a.metric, a.axes, a.units, a.window,
                           a.stride, a.published, a.positive, a.classifier_output, a.softmax, a.draws,
                           a.new_tokens, a.prompt_tokens, seed);
}

pruning::CalibrationSet refit_samples(const FairnessArguments& a, const graph::Program& program) {
  if (is_gap(a.metric)) {
    pruning::CalibrationSet out;
    out.inputs = labelled(a, program).inputs;
    return out;
  }
  need(a, a.text, "--text", "what is left is refitted on it", "or name samples with --calib");
  const Encode encode = tokenizer_of(a).encode;
  if (is_encoder_metric(a.metric))
    return fairness::refit_samples(program, read_texts(a.text, encode, false), true);
  return fairness::refit_samples(
      program, fairness::windows_of(whole_text(a, encode), windows_of(a, program).window), false);
}

}  // namespace pollard::cli
