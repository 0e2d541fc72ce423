// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/module.h"

namespace pollard::models {

/// What queries may look at: the same for all layers of one run.
struct Sight {
  at::Tensor bias;  ///< added to the scores: 0, or the lowest float where nothing is to be seen
  at::Tensor even;  ///< attention spread evenly over what is seen: softmax of the bias
};
/// Position i sees 0..i: bias and even [T, T].
Sight causal_sight(std::int64_t length, const at::TensorOptions& options);
/// Everyone sees the positions where `keep` [B, T] is 1: bias and even [B, 1, 1, T].
Sight padded_sight(const at::Tensor& keep, at::ScalarType dtype);

/// Shaped attention (Noci et al., 2023; He and Hofmann, 2024, arXiv 2311.01906): with A = softmax(q k^T / scale + bias) a
/// head's output is S v,
///
///     S = resid A + skip I - centre E       (E: attention spread evenly)
///
/// with three trained numbers a head, [1, heads, 1, 1] each. Equal scores make A = E, so that a fresh network with a
/// query matrix of zeros and all numbers 1 has S = I: every position passes itself on. Not `centred`: S = resid A, the
/// other two numbers are kept but not read.
struct ShapedAttention : Module {
  struct Options {
    bool centred = true;
    double resid = 1, skip = 1, centre = 1;  ///< fresh values
    double scale = 1;                        ///< divides the scores
    double limit = 0;                        ///< scores s become limit * tanh(s / limit); 0 = as they are
  };
  at::Tensor attn_mat_resid_gain, attn_mat_skip_gain, centre_attn_gain;
  Options options;
  ShapedAttention(std::int64_t heads, Options options);
  /// q, k [B, heads, T, d], v [B, heads, T, e]; result [B, heads, T, e].
  at::Tensor operator()(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const Sight& sight) const;
};

/// A matrix beside a scaled identity: y = resid * x W + skip * x, W stored [in, out] (or [out, in] when `transposed`), both
/// gains [1]. Fresh: W = 0.
at::Tensor skip_linear(const at::Tensor& x, const at::Tensor& weight, bool transposed,
                       const at::Tensor& resid_gain, const at::Tensor& skip_gain);

}  // namespace pollard::models
