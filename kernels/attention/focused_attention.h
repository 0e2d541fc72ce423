// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pollard::kernels {

/// Focused linear attention (Han et al., 2023, arXiv 2308.00442): no softmax and no N x n matrix, cost linear in both. q
/// [B, N, C], k [B, n, C], v [B, n, heads e], C = heads d, gain [C] (or [1, 1, C]):
///
///     a = (relu(x) + 1e-6) gain,  focus(x) = |a| a^factor / |a^factor|         powers by element, lengths over C
///     in each head: M = mean over j of focus(k_j)^T v_j [d, e],  z = mean over j of focus(k_j) [d]
///     out_i = focus(q_i) M / (focus(q_i) z + 1e-6)                              [B, N, heads e]
///
///     pollard::focused_linear_attention(Tensor q, Tensor k, Tensor v, Tensor gain, int heads, int factor) -> Tensor
///
/// The networks' gain is 1 / softplus(scale); their depthwise convolution of v and positional encoding of k stay outside.
/// A channel whose gain is 0 takes no part. factor >= 1. Single precision without gradients runs in a fused kernel, on CPUs
/// and CUDA devices, everything else in ATen's operators, differentiable. Tensors of other forms: ValueError.
struct FocusedOptions {
  std::int64_t heads, factor;
};
at::Tensor focused_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const at::Tensor& gain, FocusedOptions options);
at::Tensor focused_attention_by_aten(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& gain, FocusedOptions options);

/// For tests: the fused kernel in a given instruction set the processor has ("avx512", "avx2", "portable").
at::Tensor focused_attention_with(const char* instruction_set, const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& v, const at::Tensor& gain, FocusedOptions options);

}  // namespace pollard::kernels
