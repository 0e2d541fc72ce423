// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/model_input.h"
#include "pruning/fairness/metrics.h"
#include "pruning/fairness/scoreboard.h"

namespace pollard::cli {

/// What `fairness` is asked for, as typed.
struct FairnessArguments {
  std::string action, model, out;
  std::string prompts, text, tokenizer, metric = "attribute", axes, units;  // measuring
  std::int64_t window = 0, stride = 0;
  bool published = false, baselines = false;
  std::string resume, scores;
  std::string method = "fasp", alpha = "0.1", gamma = "0.3", floor;  // choosing
  std::string speedup, parameters;                                   // what else leaves
  std::string output, csv, svg, calibration;
  bool greedy = false, force = false, dry_run = false;
  ModelInput input;
};
void add_fairness_options(CLI::App& app, FairnessArguments& arguments);

/// The two measures, ready for one model.
struct Meters {
  std::unique_ptr<pruning::fairness::PerformanceMetric> performance;
  std::unique_ptr<pruning::fairness::BiasMetric> bias;
};
/// Of a network that may be a smaller one than `arguments` names: the tokenizer is that of the named model.
/// Throws UserError E0204 when --prompts or --text is missing.
Meters make_meters(const FairnessArguments& arguments, const graph::Program& program);
/// The performance measure one sequence a batch: for gradients.
std::unique_ptr<pruning::fairness::PerformanceMetric> make_single_performance(
    const FairnessArguments& arguments, const graph::Program& program);

/// "religion=2,gender": the names, and the weights unless none is given.
struct AxisChoice {
  std::vector<std::string> names;
  std::vector<double> weights;
};
AxisChoice parse_axes(const std::string& text);

pruning::fairness::Choice parse_choice(const FairnessArguments& arguments, std::uint64_t seed);

}  // namespace pollard::cli
