// SPDX-License-Identifier: Apache-2.0
#include "models/layers/norm.h"

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/zeros.h>

namespace pollard::models {

LayerNorm::LayerNorm(std::int64_t w, double e, Bias with_bias) : width(w), eps(e) {
  parameter("weight", weight, {w}, Init::ones());
  if (with_bias == Bias::Yes) parameter("bias", bias, {w});
}
at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x, {width}, weight, bias, eps);
}

RMSNorm::RMSNorm(std::int64_t w, double e) : width(w), eps(e) {
  parameter("weight", weight, {w}, Init::ones());
}
at::Tensor RMSNorm::operator()(const at::Tensor& x) const { return at::rms_norm(x, {width}, weight, eps); }

GroupNorm::GroupNorm(std::int64_t g, std::int64_t channels, double e) : groups(g), eps(e) {
  parameter("weight", weight, {channels}, Init::ones());
  parameter("bias", bias, {channels});
}
at::Tensor GroupNorm::operator()(const at::Tensor& x) const {
  return at::group_norm(x, groups, weight, bias, eps);
}

BatchNorm::BatchNorm(std::int64_t channels, double e, double m) : eps(e), momentum(m) {
  parameter("weight", weight, {channels}, Init::ones());
  parameter("bias", bias, {channels});
  buffer("running_mean", running_mean, at::zeros({channels}));
  buffer("running_var", running_var, at::ones({channels}));
  buffer("num_batches_tracked", num_batches_tracked, at::zeros({}, at::kLong));
}
at::Tensor BatchNorm::operator()(const at::Tensor& x) const {
  if (training()) num_batches_tracked.add_(1);
  return at::batch_norm(x, weight, bias, running_mean, running_var, training(), momentum, eps, true);
}

}  // namespace pollard::models
