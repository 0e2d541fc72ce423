// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/model_input.h"
#include "training/data/dataset.h"
#include "training/options.h"

namespace pollard::cli {

/// Where samples come from and how they are read; the same for `train`, `finetune` and `eval`.
struct SampleArguments {
  std::string augment, labels, tokenizer, loss = "auto";
  std::int64_t limit = 0, batch = 128;
  int loaders = 1;
  bool skip_bad = false, amp = false;
};
void add_sample_options(CLI::App& app, SampleArguments& arguments);
training::DataOptions data_options(const SampleArguments& arguments);
/// Throws UserError E0203 for an unknown --loss.
training::Objective::Kind objective_kind(const SampleArguments& arguments);

/// What `train` and `finetune` are asked for, as typed.
struct TrainArguments {
  std::string model, data, out, validation, recipe;
  ModelInput input;
  SampleArguments samples;

  std::int64_t epochs = 30;
  std::string optimizer = "sgd", schedule = "cosine", sparse = "none", target;
  double rate = 0.1, warm_up = 0, floor = 0, period = 30, factor = 0.1;
  double momentum = 0.9, beta2 = 0.999, decay = 5e-4, smoothing = 0, mixup = 0, clip = 0, average = 0;
  bool nesterov = false;

  std::string distill;
  bool no_distill = false;
  double distill_logits = 0.5, temperature = 4, distill_hidden = 1, distill_attention = 1;
  std::string distill_schedule = "constant";

  std::string speedup, parameters, macs, criterion = "magnitude", scope, ignore, repair = "least-squares";
  std::int64_t steps = 1, round_to = 1;

  std::string checkpoint, checkpoint_every;
  bool resume = false, force = false;
};
/// `defaults`: what differs between the two commands is set there before.
void add_train_options(CLI::App& app, TrainArguments& arguments);

/// Throws UserError E0203 for values that do not read, E0206 for options that do not go together.
training::TrainingOptions training_options(const TrainArguments& arguments, std::uint64_t seed);

/// Sets the options of a recipe, a TOML file of option names, where neither the command line nor the environment nor a
/// configuration file did. Throws UserError E0209 that names line and key.
void apply_recipe(CLI::App& app, const std::string& path);

}  // namespace pollard::cli
