// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

namespace pollard::kernels {

/// What stands around the mLSTM (mlstm.h) in a pass of a Vision-LSTM layer (Alkin et al., 2024, arXiv 2406.04303), for tokens
/// c, x and z [B, S, width], inference in single precision on a CPU:
///
///     q, k = blocks of c, v = blocks of x           (4 x 4 blocks along the channels)
///     i, f = gates of [q | k | v], a number a head
///     y = (norm(mlstm(q, k / sqrt(d), v, i, f)) norm_weight + norm_bias + skip c) silu(z)
///
///     pollard::packed_mlstm_cell(Tensor c, Tensor x, Tensor z, Tensor blocks, Tensor gates, Tensor ends, float eps,
///                                float norm_eps, bool backwards) -> Tensor
///
/// The gates are one pass over the tokens. Then every head runs over panels of tokens: what lies between c, x, z and y stays in
/// the caches. `blocks`, `gates` and `ends` are what pack_mlstm_cell has made of the weights; the gates are those of c and x,
/// whose blocks are multiplied in. Backwards, tokens are visited from the last to the first, where they lie.
struct MlstmCellWeights {
  at::Tensor q, k, v;                                ///< [width / 4, 4, 4]
  std::optional<at::Tensor> q_bias, k_bias, v_bias;  ///< [width]
  double scale = 1;                                  ///< k is multiplied with, behind the gates
  at::Tensor i, f;                                   ///< [heads, 3 width]
  at::Tensor i_bias, f_bias;                         ///< [heads]
  at::Tensor norm;                                   ///< [width]
  std::optional<at::Tensor> norm_bias;               ///< [width]
  at::Tensor skip;                                   ///< [width]
};
struct PackedMlstmCell {
  at::Tensor blocks;  ///< [3, 5, width rounded up]: four numbers a channel, then its bias; of q, k, v
  at::Tensor gates;   ///< [2 heads, 2 width rounded up + 1]: of c, of x, bias
  at::Tensor ends;    ///< [3, width rounded up]: norm, its bias, skip
};
PackedMlstmCell pack_mlstm_cell(const MlstmCellWeights& weights);

/// For tests: the kernel in a given instruction set the processor has ("avx512", "avx2", "portable"), and ATen's operators.
at::Tensor mlstm_cell_with(const char* instruction_set, const at::Tensor& c, const at::Tensor& x,
                           const at::Tensor& z, const PackedMlstmCell& packed, double eps, double norm_eps,
                           bool backwards = false);
at::Tensor mlstm_cell_by_aten(const at::Tensor& c, const at::Tensor& x, const at::Tensor& z,
                              const MlstmCellWeights& weights, double eps, double norm_eps);

/// A convolution along the tokens with a kernel a channel that sees nothing to come, activation "none" or "silu":
///
///     y[b, s] = activation(bias + sum_j weight[j] x[b, s - (kernel - 1) + j]),  x [B, S, width], weight [kernel, width]
///
/// Backwards, what is to come are the tokens before: x[b, s + (kernel - 1) - j].
///
///     pollard::packed_causal_conv1d(Tensor input, Tensor weight, Tensor bias, str activation, bool backwards) -> Tensor
at::Tensor causal_conv1d_with(const char* instruction_set, const at::Tensor& x, const at::Tensor& weight,
                              const at::Tensor& bias, const std::string& activation, bool backwards = false);

}  // namespace pollard::kernels
