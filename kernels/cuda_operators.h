// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

#include "kernels/attention/cascaded_attention.h"
#include "kernels/attention/focused_attention.h"
#include "kernels/recurrent/layer.h"

namespace pollard::kernels::cuda {

// The kernels of kernels/cuda on tensors of a CUDA device, on its current stream: cuda/operators.cpp. In a build without CUDA
// cuda_stub.cpp answers, whom no tensor of a CUDA device ever reaches. Single precision where no other is named; who calls has
// checked shapes.

/// pollard::mlstm (recurrent/mlstm.h), value widths up to kWidestMlstm.
constexpr std::int64_t kWidestMlstm = 512;
at::Tensor mlstm(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& i,
                 const at::Tensor& f, double eps);

/// A layer packed for CUDA devices, up to kMostUnits hidden units, reads a contiguous input along dimension `dim` and writes
/// its directions' results from place `offset` of every token of `output` on (recurrent/layer.h). The projection is ATen's. In
/// bf16 up to kMostBf16Units (cuda/recurrence_bf16.h).
constexpr std::int64_t kMostUnits = 2048;
/// Up to so many units an LSTM's recurrent weights stay in a block's shared memory on every architecture that is built.
constexpr std::int64_t kResidentUnits = 96;
void recurrent_layer(Cell cell, const at::Tensor& input, const at::Tensor& weight, std::int64_t hidden,
                     std::int64_t dim, const at::Tensor& output, std::int64_t offset);

/// pollard::focused_linear_attention (attention/focused_attention.h): something in every tensor.
at::Tensor focused_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const at::Tensor& gain, FocusedOptions options);

/// pollard::masked_attention (attention/masked_attention.h), value widths up to kWidestMasked: rows of q, k, v and of a mask
/// [B, heads, L, S], where there is one, are contiguous, gates [B, heads] whole.
constexpr std::int64_t kWidestMasked = 256;
at::Tensor masked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& gates, const at::Tensor& mask, double scale, bool causal);

/// pollard::cascaded_group_attention (attention/cascaded_attention.h) over windows whose heads' numbers fit into a block's
/// shared memory (cuda/cascaded_attention.h), up to 16 heads; something in every tensor.
bool takes_cascade(const CascadedWeights& weights, std::int64_t height, std::int64_t width);
at::Tensor cascaded_attention(const at::Tensor& input, const CascadedWeights& weights, double scale);

/// pollard::monarch (monarch.h): something in both factors.
at::Tensor monarch(const at::Tensor& input, const at::Tensor& first, const at::Tensor& second);

/// Sums of |w|^power over the rows and the columns of a contiguous weight seen as [rows, rest] (slab_sums.h).
struct Sums {
  std::vector<double> rows, columns;
};
Sums power_sums(const at::Tensor& weight, std::int64_t rows, int power);

/// slice_gather of a contiguous tensor (slice_gather.h): `rows` are the kept ones of [rows, columns, unit bytes].
at::Tensor slice(const at::Tensor& tensor, const std::vector<std::int64_t>& rows,
                 const std::vector<std::int64_t>& columns, std::int64_t all_columns, std::int64_t unit,
                 at::IntArrayRef shape);

}  // namespace pollard::kernels::cuda
