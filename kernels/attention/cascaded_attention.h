// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace pollard::kernels {

/// Cascaded group attention (Liu et al., 2023, arXiv 2305.07027, EfficientViT) over windows input [B, C, H, W] of n = H W
/// positions. Head h reads its own c_h of the channels plus what the head before gave; the results, before the projection,
/// are joined to [B, sum of e_h, H, W]:
///
///     x_h = channels of head h (+ o_(h-1)),   q, k, v = conv 1x1 of x_h with qkv[h],   q = depthwise convolution of q
///     o_h = softmax(q k^T scale + bias[h]) v
///
///     pollard::cascaded_group_attention(Tensor input, Tensor[] qkv, Tensor[] qkv_bias, Tensor[] depthwise,
///                                       Tensor[] depthwise_bias, Tensor bias, float scale) -> Tensor
///
/// qkv[h] [2 K_h + e_h, c_h, 1, 1] and its bias [2 K_h + e_h], depthwise[h] [K_h, 1, s, s] with s odd and its bias [K_h],
/// bias [heads, n, n] (the networks' attention_biases read at their indices); e_(h-1) = c_h. Batch norms of a trained network
/// are folded into weights and biases. Single precision without gradients runs in one kernel, all heads of a window after each
/// other in a core's cache or, on a CUDA device, in a block's shared memory, where they fit (cuda/cascaded_attention.h);
/// everything else in ATen's operators, differentiable. Tensors of other forms: ValueError.
struct CascadedWeights {
  at::TensorList qkv, qkv_bias, depthwise, depthwise_bias;
  at::Tensor bias;
};
at::Tensor cascaded_attention(const at::Tensor& input, const CascadedWeights& weights, double scale);
at::Tensor cascaded_attention_by_aten(const at::Tensor& input, const CascadedWeights& weights, double scale);

/// For tests: the kernel in a given instruction set the processor has ("avx512", "avx2", "portable").
at::Tensor cascaded_attention_with(const char* instruction_set, const at::Tensor& input,
                                   const CascadedWeights& weights, double scale);

}  // namespace pollard::kernels
