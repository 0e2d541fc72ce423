// SPDX-License-Identifier: Apache-2.0
// Pruning between epochs: everything that belongs to a weight is sliced with it.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <optional>

#include "models/io/cancel.h"
#include "pruning/calibration.h"
#include "pruning/limits.h"
#include "pruning/repair.h"
#include "pruning/rewrite.h"
#include "training/trainer.h"

namespace pollard::training {
namespace {

constexpr std::int64_t kCalibrationSamples = 1024;

}  // namespace

/// The first samples as evaluation sees them, for criteria that look at data and for repair.
pruning::CalibrationSet Trainer::calibration() const {
  const std::unique_ptr<kernels::Communicator> alone = kernels::single_process();
  Loader loader(*data_.train, augmentation_, *alone,
                {.batch = kCalibrationSamples, .train = false, .skip_bad = options_.skip_bad, .threads = 0});
  loader.start(0);
  const std::optional<Batch> batch = loader.next();
  pruning::CalibrationSet out{.inputs = batch->inputs,
                              .labels = {},
                              .mask = pruning::padding_mask(network_->model().program, batch->inputs),
                              .precision = {},
                              .job = &communicator_};
  if (batch->target.defined() && batch->target.scalar_type() == at::kLong && batch->target.dim() == 1)
    out.labels = batch->target;
  return out;
}

/// The prunings lie at equal distances within the run: the first of two after a third of it.
std::int64_t Trainer::pruning_epoch(std::int64_t pruning) const {
  return pruning * options_.epochs / (options_.prune_steps + 1);
}

void Trainer::prune_if_due() {
  if (!options_.prune) return;
  const std::int64_t steps = options_.prune_steps;
  // One process that left while others prune would keep them waiting: several stop at their next common step.
  std::optional<models::io::HoldCancel> together;
  if (communicator_.size() > 1) together.emplace();
  while (pruned_ < steps && epoch_ >= pruning_epoch(pruned_ + 1)) prune(steps - pruned_);
}

void Trainer::repair(models::Model& smaller, const models::Model& before, const graph::Dependencies& d,
                     const graph::Removal& removal, const pruning::CalibrationSet& samples) {
  if (options_.repair == pruning::RepairMethod::None) return;
  const pruning::RepairReport report =
      pruning::repair(smaller, before, d, removal, samples, {.method = options_.repair, .refit = {}});
  if (observer_.repaired && communicator_.first()) observer_.repaired(report);
}

void Trainer::prune(std::int64_t remaining) {
  const models::Model before = network_->snapshot();
  const graph::Dependencies d = network_->dependencies();
  const pruning::CalibrationSet samples = calibration();
  const pruning::Plan plan =
      pruning::make_plan(before, d, pruning::step_toward(*budget_, network_->cost(), remaining), &samples);
  ++pruned_;
  if (observer_.pruned && communicator_.first()) observer_.pruned(plan, before, d);
  Optimiser::State state;
  for (const auto& [kind, tensors] : optimiser_->state())
    state[kind] = network_->sliced(tensors, plan.removal);
  const kernels::Weights average = average_.empty() ? average_ : network_->sliced(average_, plan.removal);
  const std::int64_t steps = optimiser_->steps();
  models::Model smaller = pruning::prune(before, d, plan.removal);
  repair(smaller, before, d, plan.removal, samples);
  smaller.metadata["pollard.plan"] = pruning::to_json(plan, before, d);
  smaller.sha256 = pruning::plan_hash(smaller.metadata["pollard.plan"]);
  build(std::move(smaller));
  optimiser_->restore(state, steps);
  for (const auto& [name, tensor] : average) average_[name] = tensor.to(options_.device).clone();
  if (!distillation_) return;
  KeptUnits kept = distillation_->kept();
  kept.prune(before.program, d, plan.removal);
  distillation_->follow(network_->model().program, std::move(kept));
}

}  // namespace pollard::training
