// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "models/layers/activation.h"
#include "models/layers/linear.h"
#include "models/layers/norm.h"
#include "models/module.h"

namespace pollard::models {

/// [B, T, heads * d] -> [B, heads, T, d] and back.
at::Tensor split_heads(const at::Tensor& x, std::int64_t heads);
at::Tensor merge_heads(const at::Tensor& x);

/// softmax(q k^T * scale + mask) v over [B, heads, T, d]; the scale is 1/sqrt(d) unless given; an undefined
/// mask is none; a float mask is added, a bool mask keeps where true. Dropout of the weights only when p > 0.
struct AttentionOptions {
  at::Tensor mask;
  double dropout = 0;
  bool causal = false;
  std::optional<double> scale;
  bool grouped = false;  ///< fewer heads in k and v: query head j reads head j / (their ratio)
};
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& o = {});

/// torch.nn.MultiheadAttention, batch first: in_proj_weight [3d, d], in_proj_bias, out_proj.{weight, bias}.
/// Fresh: in_proj Xavier uniform, both biases 0.
struct MultiheadAttention : Module {
  at::Tensor in_proj_weight, in_proj_bias;
  Linear out_proj;
  std::int64_t heads;
  double dropout;
  MultiheadAttention(std::int64_t width, std::int64_t heads, Bias bias = Bias::Yes, double dropout = 0);
  /// Self-attention: x [B, T, d].
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& mask = {}) const;
  at::Tensor operator()(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                        const at::Tensor& mask = {}) const;

 private:
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& mask) const;
};

/// timm's attention: qkv.{weight [3d, d], bias}, proj.{weight, bias}; x [B, T, d].
struct FusedAttention : Module {
  struct Heads {
    at::Tensor q, k, v;  ///< [B, heads, T, d / heads]
  };
  struct Dropout {
    double weights = 0, output = 0;
  };
  Linear qkv, proj;
  std::int64_t heads;
  Dropout dropout;
  FusedAttention(std::int64_t width, std::int64_t heads, Bias qkv_bias = Bias::Yes);
  FusedAttention(std::int64_t width, std::int64_t heads, Bias qkv_bias, Dropout dropout);
  /// The two halves of the whole, for networks that look at the keys or have a mask.
  Heads project(const at::Tensor& x) const;
  at::Tensor attend(const Heads& h, const at::Tensor& mask = {}) const;
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& mask = {}) const {
    return attend(project(x), mask);
  }
};

/// Attention with a matrix each for queries, keys, values and the result, as the time-series networks name them:
/// {query,key,value,out}_projection. q [B, T, d], k and v [B, S, d]; a head is floor(d / heads) wide.
struct ProjectedAttention : Module {
  Linear query_projection, key_projection, value_projection, out_projection;
  std::int64_t heads;
  double dropout;
  ProjectedAttention(std::int64_t width, std::int64_t heads, double dropout = 0);
  at::Tensor operator()(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const;
};

/// timm's two-layer perceptron: fc2(act(fc1(x))), with dropout after each.
struct Mlp : Module {
  Linear fc1, fc2;
  Activation activation;
  double dropout = 0;
  Mlp(std::int64_t width, std::int64_t hidden, Activation activation = Activation::Gelu,
      Bias bias = Bias::Yes,
      std::int64_t out = 0);  ///< out 0 = width
  at::Tensor operator()(const at::Tensor& x) const;
};

/// torch.nn.TransformerEncoderLayer on x [B, T, d]: self_attn, linear1, linear2, norm1, norm2.
struct EncoderLayer : Module {
  struct Options {
    Activation activation = Activation::Relu;
    bool norm_first = false;
    double dropout = 0.1;
    double eps = 1e-5;
  };
  MultiheadAttention self_attn;
  Linear linear1, linear2;
  LayerNorm norm1, norm2;
  Options options;
  EncoderLayer(std::int64_t width, std::int64_t heads, std::int64_t feedforward, Options options);
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& mask = {}) const;

 private:
  at::Tensor feedforward(const at::Tensor& x) const;
  at::Tensor dropped(const at::Tensor& x) const;
};

}  // namespace pollard::models
