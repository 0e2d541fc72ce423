// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>

#include "pruning/losses.h"
#include "pruning/scores.h"

namespace pollard::pruning {

struct GradientOptions {
  Loss loss = Loss::Norm;
  std::int64_t batch = 8;
  kernels::OpHook before_op;          ///< sees the activations while their graph is built
  SampleStream::Before before_batch;  ///< sees which samples come
};

/// Runs the samples backwards batch by batch. `after` gets, by parameter source, the gradient of the loss summed over
/// the batch, and how many samples that were; tied parameters appear under their first name. Memory: the weights, their
/// gradients, and the activations of one batch. Of samples that are shared, `after` gets this process's batches: what it adds
/// up goes through the result's sum().
using Gradients = std::map<std::string, at::Tensor>;
SharedWork for_each_gradient(const ScoreContext& context, const GradientOptions& options,
                             const std::function<void(const Gradients&, std::int64_t samples)>& after);

}  // namespace pollard::pruning
