// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/layers/conv.h"
#include "models/layers/norm.h"

namespace pollard::models {

/// "conv" without bias, then "bn".
struct ConvNorm : Module {
  Conv2d conv;
  BatchNorm bn;
  ConvNorm(std::int64_t in, std::int64_t out, std::int64_t kernel = 1, std::int64_t stride = 1,
           std::int64_t groups = 1)
      : conv(in, out, kernel, {.stride = stride, .padding = kernel / 2, .groups = groups, .bias = Bias::No}),
        bn(out) {
    children({{"conv", conv}, {"bn", bn}});
  }
  at::Tensor operator()(const at::Tensor& x) const { return bn(conv(x)); }
};

/// Cascaded group attention (Liu et al., 2023, arXiv 2305.07027) over windows of a map x [B, width, H, W]: head i
/// attends over chunk i of the channels plus what head i - 1 gave, with a depthwise convolution on its queries and a
/// learned bias of the distance. Padding takes part.
struct CascadedAttention : Module {
  struct Options {
    std::int64_t width, key_dim, side;  ///< side of a window
    std::vector<std::int64_t> kernels;  ///< of the queries' convolution, one a head
  };
  std::int64_t width, heads, key_dim, side;
  at::Tensor biases, index;  ///< attention_biases [heads, side^2] by |dy| * side + |dx|; [side^4]
  ModuleList<ConvNorm> qkvs, dws;
  ConvNorm proj;
  explicit CascadedAttention(const Options& o);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor cascade(const at::Tensor& x) const;
  at::Tensor head(std::size_t h, const at::Tensor& x, const at::Tensor& bias) const;
};

}  // namespace pollard::models
