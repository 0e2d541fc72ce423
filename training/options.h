// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "pruning/plan.h"
#include "pruning/repair.h"
#include "training/distillation.h"
#include "training/objective.h"
#include "training/optimiser.h"
#include "training/schedule.h"
#include "training/sparsity.h"

namespace pollard::training {

/// All that decides a training run. Lengths of time are in epochs; the trainer turns them into steps.
struct TrainingOptions {
  std::int64_t epochs = 10, batch = 128;  ///< batch: samples a step over all processes
  OptimiserOptions optimiser;
  Schedule::Kind schedule = Schedule::Kind::Cosine;
  double rate = 0.1, warm_up = 0, floor = 0, period = 30, factor = 0.1;

  Objective objective;
  double mixup = 0;       ///< alpha of the Beta distribution; 0: none
  double clip = 0;        ///< largest norm of all gradients together; 0: none
  double average = 0;     ///< decay of the moving average of weights that is evaluated and written; 0: none
  bool autocast = false;  ///< bf16 where LibTorch's autocast allows it
  std::string augmentation;
  int loaders = 1;
  bool skip_bad = false;

  SparsityOptions sparsity;          ///< until the last pruning
  DistillationOptions distillation;  ///< when there is a parent
  /// Prune to these budgets in `prune_steps` equal stretches of the run, training after each.
  std::optional<pruning::PlanOptions> prune;
  std::int64_t prune_steps = 1;
  /// How each pruning is mended from the first training samples, before training goes on.
  pruning::RepairMethod repair = pruning::RepairMethod::LeastSquares;

  std::optional<double> target;  ///< stop when the validation's first figure of merit reaches this
  std::uint64_t seed = 0;
  at::Device device =
      at::kCPU;  ///< of weights, gradients and steps; samples are read and networks pruned on the CPU

  std::filesystem::path checkpoint;  ///< "" writes none
  double checkpoint_seconds = 0;     ///< also within an epoch; 0: at its end only
  bool resume = false;               ///< go on from `checkpoint`

  /// What must be equal for a run to be continued bit for bit, as text.
  std::string fingerprint() const;
};

}  // namespace pollard::training
