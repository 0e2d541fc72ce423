// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/layers/linear.h"
#include "models/module.h"

namespace pollard::models {

/// Normalises the last dimension (width) to mean 0 and variance 1, then scales and shifts.
struct LayerNorm : Module {
  at::Tensor weight, bias;
  std::int64_t width;
  double eps;
  explicit LayerNorm(std::int64_t width, double eps = 1e-5, Bias with_bias = Bias::Yes);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// x * weight / sqrt(mean(x^2) + eps) over the last dimension, one fused op.
struct RMSNorm : Module {
  at::Tensor weight;
  std::int64_t width;
  double eps;
  RMSNorm(std::int64_t width, double eps);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// Statistics over each of `groups` runs of channels and all positions; x [B, channels, ...].
struct GroupNorm : Module {
  at::Tensor weight, bias;
  std::int64_t groups;
  double eps;
  GroupNorm(std::int64_t groups, std::int64_t channels, double eps = 1e-5);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// Batch normalisation of x [B, channels, ...] (1-d, 2-d alike). In train mode uses the batch's statistics
/// and updates running_mean and running_var in place.
struct BatchNorm : Module {
  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;
  double eps, momentum;
  explicit BatchNorm(std::int64_t channels, double eps = 1e-5, double momentum = 0.1);
  at::Tensor operator()(const at::Tensor& x) const;
};

}  // namespace pollard::models
