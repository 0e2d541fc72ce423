// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "training/loader.h"
#include "training/metrics.h"
#include "training/trained_model.h"

namespace pollard::training {

struct EvaluationOptions {
  std::int64_t batch = 128;
  Objective objective;
  bool skip_bad = false;
  int loaders = 1;
  bool autocast = false;
  std::function<void(std::int64_t samples)> progress;  ///< may be empty
};

/// Runs a network over a data set in evaluation mode; with several processes each takes its share of every batch.
/// `weights`: under the network's names (its own, or averages). `reference`: another network whose outputs are compared
/// with this one's, or nullptr. Throws UserError E0509, in every process, when one was interrupted.
Metrics evaluate(TrainedModel& network, const kernels::Weights& weights, const Dataset& data,
                 const Augmentation& augmentation, kernels::Communicator& communicator,
                 const EvaluationOptions& options, TrainedModel* reference = nullptr);

/// The same samples on another device.
Batch on_device(Batch batch, at::Device device);

/// bf16 autocast while it lives, when wanted.
class Autocast {
 public:
  Autocast(bool wanted, c10::DeviceType device);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool wanted_;
  c10::DeviceType device_;
};

}  // namespace pollard::training
