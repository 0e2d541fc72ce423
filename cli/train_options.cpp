// SPDX-License-Identifier: Apache-2.0
#include "cli/train_options.h"

#include <fmt/format.h>

#include <filesystem>
#include <sstream>

#include "cli/config_file.h"
#include "cli/parse_errors.h"
#include "cli/plan_options.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "graph/error.h"

namespace pollard::cli {
namespace {

using training::OptimiserOptions;

void add_method(CLI::App& app, TrainArguments& a) {
  const auto option = [&](const char* name, auto& value, const char* type, const char* text,
                          const char* group = "Method") {
    return app.add_option(name, value, text)->type_name(type)->group(group);
  };
  option("--recipe", a.recipe, "FILE", "TOML file of these options; flags go before it");
  option("--epochs", a.epochs, "N", "passes over the data")->check(CLI::Range(1, 1 << 20));
  option("--lr", a.rate, "R", "highest learning rate")->check(CLI::NonNegativeNumber);
  option("--optimizer", a.optimizer, "NAME", "sgd or adamw")->check(CLI::IsMember({"sgd", "adamw"}));
  option("--schedule", a.schedule, "NAME", "constant, cosine, step or one-cycle")
      ->check(CLI::IsMember({"constant", "cosine", "step", "one-cycle"}));
  option("--warmup", a.warm_up, "E", "epochs of linear warm-up")->check(CLI::NonNegativeNumber);
  option("--label-smoothing", a.smoothing, "S", "share of the label spread over all classes", "More")
      ->check(CLI::Range(0.0, 1.0));
  option("--mixup", a.mixup, "A", "mix pairs of samples, Beta(A, A)", "More")->check(CLI::NonNegativeNumber);
  option("--lr-floor", a.floor, "S", "cosine: ends at this share of --lr", "More")
      ->check(CLI::Range(0.0, 1.0));
  option("--lr-every", a.period, "E", "step: epochs between two drops", "More")->check(CLI::PositiveNumber);
  option("--lr-factor", a.factor, "F", "step: what a drop multiplies by", "More")
      ->check(CLI::Range(0.0, 1.0));
  option("--momentum", a.momentum, "M", "of sgd; beta1 of adamw", "More")->check(CLI::Range(0.0, 1.0));
  option("--beta2", a.beta2, "B", "of adamw", "More")->check(CLI::Range(0.0, 1.0));
  option("--weight-decay", a.decay, "D", "of weights, not of biases and norms", "More")
      ->check(CLI::NonNegativeNumber);
  option("--clip", a.clip, "N", "largest norm of the gradients; 0 = any", "More")
      ->check(CLI::NonNegativeNumber);
  option("--ema", a.average, "D", "decay of averaged weights, which are written; 0 = none", "More")
      ->check(CLI::Range(0.0, 1.0));
  app.add_flag("--nesterov", a.nesterov, "Nesterov's momentum")->group("More");
}

void add_shrinking(CLI::App& app, TrainArguments& a) {
  const auto option = [&](const char* name, auto& value, const char* type, const char* text,
                          const char* group = "Shrinking") {
    return app.add_option(name, value, text)->type_name(type)->group(group);
  };
  option("--sparse", a.sparse, "HOW", "push units to zero: group-l2, growing, bn-l1; =5e-4");
  option("--speedup", a.speedup, "2x", "prune on the way: MACs shrink by this factor");
  option("--steps", a.steps, "N", "in N prunings, training after each")->check(CLI::Range(1, 100));
  option("--distill", a.distill, "TEACHER", "learn from this network too, the dense parent");
  app.add_flag("--no-distill", a.no_distill, "with --speedup: not from the model as it was given")
      ->group("More");
  option("--params", a.parameters, "1.2M", "prune to at most this many parameters", "More");
  option("--macs", a.macs, "60M", "prune to at most this many multiply-accumulates", "More");
  option("--criterion", a.criterion, "NAME", "how units are ranked", "More");
  option("--scope", a.scope, "SCOPE", "local, global, isomorphic, predicted or measured", "More");
  option("--repair", a.repair, "HOW", "each pruning is mended by: least-squares, batchnorm, none", "More")
      ->check(CLI::IsMember({"least-squares", "batchnorm", "none"}));
  option("--ignore", a.ignore, "GLOBS", "leave these parameters' groups whole", "More");
  option("--round-to", a.round_to, "N", "widths stay multiples of N", "More")->check(CLI::Range(1, 1 << 20));
  option("--distill-logits", a.distill_logits, "S", "share of the loss that is the teacher's answer", "More")
      ->check(CLI::Range(0.0, 1.0));
  option("--temperature", a.temperature, "T", "of the teacher's answer", "More")->check(CLI::PositiveNumber);
  option("--distill-schedule", a.distill_schedule, "S",
         "the teacher's part is constant, or falls to nothing (linear)", "More")
      ->check(CLI::IsMember({"linear", "constant"}));
  option("--distill-hidden", a.distill_hidden, "W", "weight of hidden states", "More")
      ->check(CLI::NonNegativeNumber);
  option("--distill-attention", a.distill_attention, "W", "weight of attention maps", "More")
      ->check(CLI::NonNegativeNumber);
}

void add_safety(CLI::App& app, TrainArguments& a) {
  app.add_flag("--resume", a.resume, "go on from the checkpoint, bit for bit")->group("Safety");
  app.add_option("--checkpoint-every", a.checkpoint_every, "also within an epoch: 5m, 1h")
      ->type_name("T")
      ->group("More");
  app.add_option("--checkpoint", a.checkpoint, "its file (default OUT.checkpoint)")
      ->type_name("FILE")
      ->group("More");
  app.add_option("--target-acc", a.target, "stop when validation reaches this, in percent")
      ->type_name("P")
      ->group("More");
  app.add_flag("--force", a.force, "replace an existing OUT")->group("Safety");
}

pruning::PlanOptions budget_of(const TrainArguments& a, std::uint64_t seed) {
  PlanArguments plan;
  plan.speedup = a.speedup;
  plan.parameters = a.parameters;
  plan.macs = a.macs;
  plan.criterion = a.criterion;
  plan.scope = a.scope;
  plan.ignore = a.ignore;
  plan.round_to = std::to_string(a.round_to);
  return plan_options(plan, "train", seed);
}

OptimiserOptions optimiser_of(const TrainArguments& a) {
  const bool sgd = a.optimizer == "sgd";
  return {.kind = sgd ? OptimiserOptions::Kind::Sgd : OptimiserOptions::Kind::AdamW,
          .momentum = a.momentum,
          .nesterov = a.nesterov,
          .beta1 = a.momentum,
          .beta2 = a.beta2,
          .weight_decay = a.decay};
}

}  // namespace

void add_sample_options(CLI::App& app, SampleArguments& a) {
  const auto option = [&](const char* name, auto& value, const char* type, const char* text,
                          const char* group = "Data") {
    return app.add_option(name, value, text)->type_name(type)->group(group);
  };
  option("--batch", a.batch, "N", "samples a step, over all processes")->check(CLI::Range(1, 1 << 20));
  option("--augment", a.augment, "LIST", "as torchvision: 'RandomCrop(28,padding=4)'");
  app.add_flag("--skip-bad", a.skip_bad, "leave corrupt samples out and count them")->group("Data");
  option("--loss", a.loss, "NAME", "auto, cross-entropy, binary, mse, l1 or next-token", "More");
  option("--labels", a.labels, "FILE", "classes of DATA: IDX, .npy or .npz", "More");
  option("--tokenizer", a.tokenizer, "FOLDER", "WordPiece vocabulary, for text", "More");
  option("--limit", a.limit, "N", "only the first N samples; 0 = all", "More")->check(CLI::NonNegativeNumber);
  option("--loaders", a.loaders, "N", "threads that read ahead", "More")->check(CLI::Range(0, 64));
  app.add_flag("--amp", a.amp, "bf16 where autocast allows it")->group("More");
}

training::DataOptions data_options(const SampleArguments& a) {
  return {.labels = a.labels, .tokenizer = a.tokenizer, .skip_bad = a.skip_bad, .most = a.limit};
}

training::Objective::Kind objective_kind(const SampleArguments& a) {
  if (const auto kind = training::objective_from_string(a.loss)) return *kind;
  throw usage_error("E0203", "--loss",
                    "\"" + a.loss + "\" is not auto, cross-entropy, binary, mse, l1 or next-token");
}

void add_train_options(CLI::App& app, TrainArguments& a) {
  app.add_option("MODEL", a.model, "the model; for train also a built-in name")
      ->type_name("FILE")
      ->required();
  app.add_option("DATA", a.data, "folder or file of samples")->type_name("PATH")->required();
  app.add_option("OUT", a.out, "the trained model: .pt2 or .safetensors")->type_name("FILE")->required();
  add_method(app, a);
  app.add_option("--val", a.validation, "validation data, when DATA has no such part")
      ->type_name("PATH")
      ->group("Data");
  add_sample_options(app, a.samples);
  add_shrinking(app, a);
  add_safety(app, a);
  add_model_options(app, a.input);
}

training::TrainingOptions training_options(const TrainArguments& a, std::uint64_t seed) {
  training::TrainingOptions out{.epochs = a.epochs, .batch = a.samples.batch, .optimiser = optimiser_of(a)};
  out.schedule = *training::schedule_from_string(a.schedule);
  out.rate = a.rate;
  out.warm_up = a.warm_up;
  out.floor = a.floor;
  out.period = a.period;
  out.factor = a.factor;
  out.objective = {objective_kind(a.samples), a.smoothing, printable(a.data)};
  out.mixup = a.mixup;
  out.clip = a.clip;
  out.average = a.average;
  out.autocast = a.samples.amp;
  out.augmentation = a.samples.augment;
  out.loaders = a.samples.loaders;
  out.skip_bad = a.samples.skip_bad;
  out.sparsity = training::sparsity_from(a.sparse);
  out.distillation = {a.distill_logits, a.temperature, a.distill_hidden, a.distill_attention,
                      a.distill_schedule == "linear"};
  if (!a.speedup.empty() || !a.parameters.empty() || !a.macs.empty()) out.prune = budget_of(a, seed);
  if (a.steps > 1 && !out.prune)
    throw usage_error("E0206", "--steps", "goes with a budget: --speedup, --params or --macs");
  out.prune_steps = a.steps;
  out.repair = *pruning::repair_method_from_string(a.repair);
  if (out.prune && a.epochs <= a.steps)
    throw usage_error("E0206", "--steps", "needs more epochs than prunings, to train after each");
  if (!a.target.empty()) out.target = parse_number(a.target, "--target-acc") / 100;
  out.seed = seed;
  out.checkpoint = a.checkpoint.empty() ? a.out + ".checkpoint" : a.checkpoint;
  if (!a.checkpoint_every.empty())
    out.checkpoint_seconds = parse_seconds(a.checkpoint_every, "--checkpoint-every");
  out.resume = a.resume;
  return out;
}

void apply_recipe(CLI::App& app, const std::string& path) {
  std::istringstream text(read_text_file(path));
  const auto refuse = [&](const std::string& message) {
    throw usage_error("E0209", std::filesystem::path(path).filename().string(), message,
                      "a recipe holds options of this command: epochs = 30");
  };
  try {
    for (const CLI::ConfigItem& item : TomlConfig().from_config(text)) {
      CLI::Option* option = item.parents.empty() ? app.get_option_no_throw("--" + item.name) : nullptr;
      if (!option || option->get_positional() || item.name == "recipe")
        refuse("unknown option \"" + item.name + "\"");
      if (option->count() > 0) continue;
      option->add_result(item.inputs.front());
      option->run_callback();
    }
  } catch (const CLI::ParseError& error) {
    refuse(error.what());
  }
}

}  // namespace pollard::cli
