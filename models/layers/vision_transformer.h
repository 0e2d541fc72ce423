// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "models/layers/attention.h"
#include "models/layers/conv.h"
#include "models/layers/token_merging.h"

namespace pollard::models {

/// Cuts images [B, 3, H, W] into patches and projects each: "proj", a convolution whose stride is its kernel.
struct PatchEmbed : Module {
  Conv2d proj;
  std::int64_t patch;
  PatchEmbed(std::int64_t width, std::int64_t patch_size);
  /// [B, patches, width], row-major.
  at::Tensor operator()(const at::Tensor& image) const;
};

/// x * gamma, a factor for each channel (Touvron et al., 2021, arXiv 2103.17239).
struct LayerScale : Module {
  at::Tensor gamma;
  LayerScale(std::int64_t width, double initial, const char* name = "gamma");
  at::Tensor operator()(const at::Tensor& x) const { return x.mul(gamma); }
};

/// fc2(act(first half of fc1(x)) * second half): SwiGLU with silu, timm's packed form. fc1 has 2 * hidden rows.
struct PackedGlu : Module {
  Linear fc1, fc2;
  PackedGlu(std::int64_t width, std::int64_t hidden);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// timm's pre-norm block: x += ls1(attn(norm1 x)); x += ls2(mlp(norm2 x)).
struct VitBlock : Module {
  struct Options {
    std::int64_t width, heads, hidden;  ///< hidden: columns of mlp.fc2
    Bias qkv_bias = Bias::Yes;
    bool glu = false;        ///< PackedGlu in place of Mlp
    double layer_scale = 0;  ///< initial gamma; 0 = none
    double eps = 1e-6;
    double attention_dropout = 0, dropout = 0, drop_path = 0;
  };
  /// Merges tokens between attention and perceptron (token_merging.h), `count` of them.
  struct Merging {
    TokenMerger& merger;
    std::int64_t count;
    bool proportional;  ///< attention counts a merged token as often as it has patches
  };

  LayerNorm norm1;
  FusedAttention attn;
  std::optional<LayerScale> ls1, ls2;
  LayerNorm norm2;
  std::optional<Mlp> mlp;
  std::optional<PackedGlu> glu;
  double drop_rate;
  explicit VitBlock(const Options& o);
  at::Tensor operator()(const at::Tensor& x, const std::optional<Merging>& merging = {}) const;

 private:
  at::Tensor branch(at::Tensor y, const std::optional<LayerScale>& scale) const;
};

/// Stochastic depth grows with depth: the rate of layer i of n.
double drop_path_at(double rate, std::int64_t i, std::int64_t n);

/// The patch grid of a position table: rows of a table of `positions` entries that is square.
std::int64_t square_root(std::int64_t positions);

}  // namespace pollard::models
