// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "cli/built_in.h"
#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/health.h"
#include "cli/parse_errors.h"
#include "cli/plan_report.h"
#include "cli/runtime.h"
#include "cli/train_options.h"
#include "cli/train_report.h"
#include "cli/ui/format.h"
#include "models/built_in.h"
#include "models/io/atomic_file.h"
#include "models/io/cancel.h"
#include "models/registry.h"
#include "training/trainer.h"

namespace pollard::cli {
namespace {

namespace fs = std::filesystem;

models::Model read_model(const TrainArguments& a, bool fresh, Context& context) {
  if (fresh && !fs::exists(a.model) && models::find_built_in(a.model)) {
    const models::BuiltIn chosen = built_in(a.model, a.input.spec_file);
    return models::fresh_model(*chosen.family, chosen.spec_json, context.globals().seed);
  }
  return load_model(a.model, a.input);
}

/// Of the weights, which is nearly what a file of them takes.
std::uint64_t bytes_of(const models::Model& model) {
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : model.weights) bytes += tensor.nbytes();
  return bytes;
}

/// The dense parent, when there is one: named, or the network itself before it is pruned on the way.
std::optional<training::Parent> read_parent(const TrainArguments& a, const models::Model& model,
                                            bool prunes) {
  if (!a.distill.empty()) return training::parent_of(model, load_model(a.distill, {}));
  if (prunes && !a.no_distill) return training::Parent(model);
  return std::nullopt;
}

Exit run_train(TrainArguments& a, CLI::App& app, bool fresh, Context& context) {
  if (!a.recipe.empty()) apply_recipe(app, a.recipe);
  training::TrainingOptions options = training_options(a, context.globals().seed);
  options.device = choose_device(context.globals().device);
  kernels::Communicator& all = job();
  if (all.first()) models::check_save_path(a.out, {a.model, a.data, a.validation, a.distill}, a.force);
  models::Model model = read_model(a, fresh, context);
  require_finite(model);
  if (all.first() && !options.prune) models::io::check_disk_space(a.out, bytes_of(model));
  std::optional<training::Parent> parent = read_parent(a, model, options.prune.has_value());
  const training::Data data =
      training::open_data(a.data, a.validation, model.program, data_options(a.samples));
  TrainReport report(context, all, options, data);
  report.begin(model, parent.has_value());
  training::Trainer trainer(std::move(model), std::move(parent), data, options, all, report.observer());
  const models::Model trained = trainer.run();
  if (!all.first()) return Exit::Ok;
  const models::io::HoldCancel until_saved;  // all the work is done
  models::save(trained, a.out, {.force = a.force});
  fs::remove(options.checkpoint);
  report.end(a.out);
  return Exit::Ok;
}

CLI::App* add(CommandLine& line, CommandInfo info, const std::shared_ptr<TrainArguments>& arguments,
              bool fresh) {
  auto holder = std::make_shared<CLI::App*>(nullptr);
  *holder = line.add(std::move(info), [arguments, holder, fresh](Context& context) {
    return run_train(*arguments, **holder, fresh, context);
  });
  add_train_options(**holder, *arguments);
  return *holder;
}

}  // namespace

void add_train(CommandLine& line) {
  add(line,
      {.name = "train",
       .section = "Shrink",
       .purpose = "train a network, also towards sparse groups before pruning",
       .examples = {"pollard train model.pt2 data.safetensors trained.pt2 --epochs 2",
                    "pollard train model.pt2 data.safetensors sparse.pt2 --sparse group-l2",
                    "pollard train model.pt2 data.safetensors lean.pt2 --speedup 1.5x --epochs 3"}},
      std::make_shared<TrainArguments>(), true);
}

void add_finetune(CommandLine& line) {
  const auto arguments = std::make_shared<TrainArguments>();
  arguments->epochs = 10;
  arguments->rate = 0.01;
  add(line,
      {.name = "finetune",
       .section = "Shrink",
       .purpose = "recover a pruned network's accuracy, taught by its parent",
       .examples = {"pollard finetune small.pt2 data.safetensors tuned.pt2 --epochs 2",
                    "pollard finetune small.pt2 data.safetensors tuned.pt2 --distill model.pt2",
                    "pollard finetune small.pt2 data.safetensors tuned.pt2 --recipe recipe.toml"}},
      arguments, false);
}

}  // namespace pollard::cli
