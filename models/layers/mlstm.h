// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "models/layers/conv.h"
#include "models/layers/linear.h"
#include "models/module.h"

namespace pollard::models {

/// The matrix LSTM (mLSTM) of Beck et al., 2024 (arXiv 2405.04517). A head keeps a matrix C [d, d] and a vector n [d]:
///
///     C' = f C + i k v^T,    n' = f n + i k,    h = q^T C' / (max(|q^T n'|, exp(-m')) + 1e-6)
///
/// with f = sigmoid(f~) and i = exp(i~), both divided by exp(m'), where m' = max(log f + m, i~) keeps them from
/// overflowing. Three forms compute the same h: step by step, over the whole sequence at once, and in chunks.
struct MlstmInputs {
  at::Tensor q, k, v;  ///< [B, heads, S, d]; k carries the factor 1/sqrt(d)
  at::Tensor i, f;     ///< [B, heads, S]: i~ and f~
};

/// What the recurrence knows after some positions.
struct MlstmState {
  at::Tensor C;  ///< [B, heads, d, d]
  at::Tensor n;  ///< [B, heads, d, 1]
  at::Tensor m;  ///< [B, heads, 1, 1]
  /// All zeros, where the reference's recurrence starts. (Having seen nothing at all is m = -inf, where the parallel
  /// form starts; the two differ only through the 1e-6.)
  static MlstmState zeros(const MlstmInputs& x);
};

struct MlstmOutput {
  at::Tensor h;  ///< [B, heads, S, d]
  MlstmState state;
};

/// S steps of the recurrence: S d^2 work, S ops in a row.
MlstmOutput mlstm_recurrent(const MlstmInputs& x, MlstmState state);

/// Every position reads every earlier one: S^2 d work, all at once.
at::Tensor mlstm_parallel(const MlstmInputs& x);

/// Parallel within chunks of so many positions (the last may be shorter), recurrent between them: S (chunk + d) d.
/// Without a state it starts where the parallel form starts. The state after the last chunk costs as much as any:
/// it is computed when `keep` says so, and undefined otherwise.
enum class KeepState : bool { No, Yes };
MlstmOutput mlstm_chunkwise(const MlstmInputs& x, std::int64_t chunk, KeepState keep,
                            std::optional<MlstmState> state = {});

/// LayerNorm whose scale is 1 + weight; fresh weights are 0.
struct ResidualLayerNorm : Module {
  at::Tensor weight, bias;
  std::int64_t width;
  double eps;
  ResidualLayerNorm(std::int64_t width, Bias with_bias, double eps = 1e-5);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// A linear map that mixes only within blocks of `block` neighbouring channels: weight [width / block, block, block]
/// with rows of outputs, bias [width].
struct BlockDiagonal : Module {
  at::Tensor weight, bias;
  BlockDiagonal(std::int64_t width, std::int64_t block, Bias with_bias);
  at::Tensor operator()(const at::Tensor& x) const;  ///< [B, S, width]
};

/// Depthwise convolution over x [B, S, width] in which position t sees t - kernel + 1 to t: child "conv".
struct CausalConv1d : Module {
  Conv1d conv;
  CausalConv1d(std::int64_t width, std::int64_t kernel);
  at::Tensor operator()(const at::Tensor& x) const;
};

enum class MlstmForm : std::uint8_t { Parallel, Recurrent, Chunkwise };

/// The cell between projections: gates from [q | k | v], the recurrence, and a layer norm of each head's channels,
/// scaled by 1 + weight. Children igate, fgate and outnorm.
struct MlstmCell : Module {
  struct Options {
    std::int64_t width, heads;
    Bias norm_bias = Bias::No;
    MlstmForm form = MlstmForm::Parallel;
    std::int64_t chunk = 64;
  };
  Linear igate, fgate;
  at::Tensor norm_weight, norm_bias;
  Options options;
  explicit MlstmCell(const Options& options);
  /// q, k, v [B, S, width] -> [B, S, width].
  at::Tensor operator()(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const;
  /// Its two halves: by head with gates, and what is made of h.
  MlstmInputs inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const;
  at::Tensor normed(const at::Tensor& h) const;
};

}  // namespace pollard::models
