// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace pollard::kernels {

/// The mLSTM (Beck et al., 2024, arXiv 2405.04517) over a whole sequence, zero initial state. q, k [B, heads, S, d] (k
/// already scaled), v [B, heads, S, e], gates before their activations i, f [B, heads, S]; result [B, heads, S, e]:
///
///     decay_t = sum of log sigmoid(f) up to t,  g_t = i_t - decay_t,  top_t = max of g up to t
///     w_ts = exp(g_s - top_t) q_t k_s  for s <= t
///     h_t = sum_s w_ts v_s / (max(|sum_s w_ts|, exp(-decay_t - top_t)) + eps)
///
///     pollard::mlstm(Tensor q, Tensor k, Tensor v, Tensor i, Tensor f, float eps) -> Tensor
///
/// Single precision without gradients runs in a fused kernel that stores no S x S matrix, on CPUs and CUDA devices; everything
/// else in ATen's operators, differentiable.
at::Tensor mlstm(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& i,
                 const at::Tensor& f, double eps);
at::Tensor mlstm_by_aten(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& i,
                         const at::Tensor& f, double eps);

/// For tests: the fused kernel in a given instruction set the processor has ("avx512", "avx2", "portable").
at::Tensor mlstm_with(const char* instruction_set, const at::Tensor& q, const at::Tensor& k,
                      const at::Tensor& v, const at::Tensor& i, const at::Tensor& f, double eps);

}  // namespace pollard::kernels
