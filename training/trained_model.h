// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "graph/cost.h"
#include "graph/dependencies.h"
#include "graph/removal.h"
#include "kernels/executor.h"
#include "models/model.h"
#include "training/optimiser.h"

namespace pollard::training {

/// A network that is being trained: its weights are its own, its parameters are leaves that collect gradients, and there
/// is a program for every batch size that comes. Weights lie on one device; what leaves (snapshot, sliced) is on the CPU.
class TrainedModel {
 public:
  explicit TrainedModel(models::Model model, at::Device device = at::kCPU);

  const models::Model& model() const { return model_; }
  const graph::Dependencies& dependencies() const { return dependencies_; }
  const kernels::Weights& weights() const { return model_.weights; }
  at::Device device() const { return device_; }
  /// Floating-point parameters in program order, tied ones once. Vectors and scalars (biases, norms) are not decayed.
  std::vector<Optimiser::Parameter> parameters() const;

  graph::Cost cost() const;  ///< parameters, MACs and activations as it is now

  /// Throws UserError E0391 when the program has a fixed batch that cannot be changed.
  const kernels::Executor& executor(std::int64_t batch);

  /// Takes over the buffers that a training run changed.
  void take_buffers(const kernels::Weights& changed);

  /// What is kept beside weights, under their names and in their shapes (momenta, averages), as it is after a pruning.
  std::map<std::string, at::Tensor> sliced(const std::map<std::string, at::Tensor>& kept,
                                           const graph::Removal& removal) const;

  /// The network as a file would hold it: plain tensors on the CPU, shared with this where it runs there.
  models::Model snapshot() const;

 private:
  at::Device device_;
  models::Model model_;
  graph::Dependencies dependencies_;
  std::map<std::int64_t, std::unique_ptr<kernels::Executor>> executors_;
};

/// The same with other weights under the same names (averages, say), on the CPU.
models::Model with_weights(const models::Model& model, const kernels::Weights& weights);

}  // namespace pollard::training
