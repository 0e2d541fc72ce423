// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/families/pathformer_spec.h"
#include "models/layers/attention.h"

namespace pollard::models::pathformer_parts {

/// Keys' and values' matrices [N, d, d], one a variate, as P M(v) Q with M(v) [10, 10] made from a memory of 16
/// numbers, and their biases.
struct VariateWeights : Module {
  struct Linear {
    at::Tensor weight, bias;  ///< [N, d, d], [N, 1, d]
  };
  at::Tensor memory;  ///< [N, 16]
  models::Linear first, second, third;
  at::Tensor left[2], right[2], biases[2];  ///< P [d, 10], Q [10, d], B [100, d]: keys, values
  VariateWeights(std::int64_t variates, std::int64_t width);
  /// 0: keys, 1: values. `made`: what generate() gave.
  Linear of(std::size_t which, const at::Tensor& made) const;
  at::Tensor generate() const;  ///< [N, 100]
};

/// Attention among the patches of one variate, with as many heads as channels: [R, n, p d] in and out.
struct PatchAttention : Module {
  models::Linear query, key, value, out;
  at::Tensor scale;  ///< a number, trained or not
  std::int64_t heads;
  PatchAttention(std::int64_t patch, std::int64_t width);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// One patch size p: attention inside each of the n = S / p patches, attention among them, a feed-forward part.
/// [B, S, N, d] in and out.
struct Expert : Module {
  at::Tensor embeddings;  ///< [n, 1, 1, N, 16]
  at::Tensor positions;   ///< [n, p d]
  at::Tensor shared[2], shared_bias[2];
  ModuleList<models::Linear> queries;  ///< one a patch: 16 -> d
  VariateWeights weights;
  models::Linear over_patches, embed, widen, narrow;
  PatchAttention patches;
  BatchNorm norm1, norm2;
  std::int64_t patch;
  bool normalise;
  Expert(std::int64_t patch, const PathformerSpec& s);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor within(const at::Tensor& x) const;
  at::Tensor among(const at::Tensor& x) const;
};

}  // namespace pollard::models::pathformer_parts
