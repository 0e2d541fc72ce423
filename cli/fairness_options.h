// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/model_input.h"
#include "pruning/fairness/scoreboard.h"

namespace pollard::cli {

/// What `fairness` is asked for, as typed.
struct FairnessArguments {
  std::string action, model, out;
  std::string prompts, text, tokenizer, metric = "attribute", axes, units;  // measuring
  std::string data;                                                         // labelled examples
  std::int64_t positive = 1;
  std::string classifier, classifier_tokenizer;  // what judges texts the model writes
  std::int64_t classifier_output = 0, draws = 1, new_tokens = 40, prompt_tokens = 22;
  std::int64_t window = 0, stride = 0;
  bool softmax = false, published = false, baselines = false;
  std::string resume, scores;
  std::string method = "fasp", alpha = "0.1", gamma = "0.3", floor;  // choosing
  std::string speedup, parameters;                                   // what else leaves
  std::string output, csv, svg, calibration;
  bool greedy = false, pareto = false, repair = false, force = false, dry_run = false;
  ModelInput input;
};
void add_fairness_options(CLI::App& app, FairnessArguments& arguments);

/// "religion=2,gender": the names, and the weights unless none is given.
struct AxisChoice {
  std::vector<std::string> names;
  std::vector<double> weights;
};
AxisChoice parse_axes(const std::string& text);

pruning::fairness::Choice parse_choice(const FairnessArguments& arguments, std::uint64_t seed);

}  // namespace pollard::cli
