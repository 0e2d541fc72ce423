// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/layers/conv.h"
#include "models/layers/windows.h"

namespace pollard::models {

/// Focused linear attention (Han et al., 2023, arXiv 2308.00442) over q [B, N, C] and k, v [B, n, C], N positions of a
/// map; no softmax, cost linear in N:
///
///     a = (relu(a) + 1e-6) / softplus(scale) for a in {q, k + positional_encoding}
///     a = a^p / |a^p| * |a|                       lengths over all C channels
///     o = q M / (q mean(k) + 1e-6), M = k^T v / n  in each head
///     out = o + depthwise convolution of v, one kernel for each channel of a head, the same in all heads
///
/// Couplings: the shared kernel ties channel j of v over all heads; q and k share theirs; lengths are over the kept
/// channels. Parameters: scale [1, 1, C], positional_encoding [1, n, C], dwc.
struct FocusedAttention : Module {
  struct Options {
    std::int64_t width, heads, keys;  ///< keys: n
    std::int64_t kernel = 5, factor = 3;
    std::int64_t prefix = 0;  ///< leading tokens that are no map position: a class token
  };
  std::int64_t heads, factor, prefix;
  at::Tensor scale, positional_encoding;
  Conv2d dwc;
  explicit FocusedAttention(const Options& o);
  at::Tensor operator()(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, Grid map) const;

 private:
  at::Tensor focus(const at::Tensor& x) const;
  at::Tensor local(const at::Tensor& v, Grid map) const;
};

/// The same with timm's qkv and proj around it, over tokens x [B, N, C].
struct FocusedSelfAttention : Module {
  Linear qkv, proj;
  FocusedAttention focused;
  explicit FocusedSelfAttention(const FocusedAttention::Options& o);
  at::Tensor operator()(const at::Tensor& x, Grid map) const;
};

}  // namespace pollard::models
