// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "models/model.h"
#include "training/optimiser.h"

namespace pollard::training {

/// A training run at a moment between two steps: enough to go on as if it had never stopped.
struct Checkpoint {
  models::Model model;       ///< program, weights and metadata
  kernels::Weights average;  ///< empty without a moving average
  Optimiser::State optimiser;
  std::int64_t optimiser_steps = 0;
  std::int64_t epoch = 0, batch = 0, step = 0;  ///< what comes next
  std::int64_t pruned = 0;                      ///< prunings done
  double best = 0;
  bool has_best = false;
  at::Tensor metrics;  ///< of the epoch so far
  std::map<std::string, at::Tensor> sparsity, kept;
  std::string fingerprint;  ///< TrainingOptions::fingerprint() and the input's hash
};

/// A .safetensors file that appears whole or not at all: the old checkpoint stays until the new one is on the disk. An
/// interrupt that has arrived does not stop it.
void save_checkpoint(const Checkpoint& checkpoint, const std::filesystem::path& path);

/// Throws UserError E0214 when there is none, E0385 when it is no checkpoint or belongs to another run.
Checkpoint load_checkpoint(const std::filesystem::path& path, const std::string& fingerprint);

}  // namespace pollard::training
