// SPDX-License-Identifier: Apache-2.0
#include "models/layers/shaped_attention.h"

#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rsub.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>

#include <limits>

namespace pollard::models {
namespace {

constexpr double kLowest = std::numeric_limits<float>::lowest();

Sight sight_of(at::Tensor bias) {
  at::Tensor even = at::softmax(bias, -1);
  return {std::move(bias), std::move(even)};
}

}  // namespace

Sight causal_sight(std::int64_t length, const at::TensorOptions& options) {
  return sight_of(at::full({length, length}, kLowest, options).triu(1));
}

Sight padded_sight(const at::Tensor& keep, at::ScalarType dtype) {
  return sight_of(at::rsub(keep.unsqueeze(1).unsqueeze(2).to(dtype), 1.0).mul(kLowest));
}

ShapedAttention::ShapedAttention(std::int64_t heads, Options o) : options(o) {
  const auto gain = [&](const char* name, at::Tensor& tensor, double value) {
    parameter(name, tensor, {1, heads, 1, 1}, Init::constant(value));
  };
  gain("attn_mat_resid_gain", attn_mat_resid_gain, o.resid);
  gain("attn_mat_skip_gain", attn_mat_skip_gain, o.skip);
  gain("centre_attn_gain", centre_attn_gain, o.centre);
}

at::Tensor ShapedAttention::operator()(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                       const Sight& sight) const {
  at::Tensor scores = at::matmul(q, k.transpose(-1, -2)).div(options.scale);
  if (options.limit > 0) scores = at::tanh(scores.div(options.limit)).mul(options.limit);
  at::Tensor mix = at::softmax(scores.add(sight.bias), -1).mul(attn_mat_resid_gain);
  if (options.centred)
    mix = mix.add(at::eye(q.size(2), q.options()).mul(attn_mat_skip_gain))
              .sub(sight.even.mul(centre_attn_gain));
  return at::matmul(mix, v);
}

at::Tensor skip_linear(const at::Tensor& x, const at::Tensor& weight, bool transposed,
                       const at::Tensor& resid_gain, const at::Tensor& skip_gain) {
  const at::Tensor y = transposed ? at::linear(x, weight) : at::matmul(x, weight);
  return y.mul(resid_gain).add(x.mul(skip_gain));
}

}  // namespace pollard::models
