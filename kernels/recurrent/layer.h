// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace pollard::kernels {

/// Gates as PyTorch stacks them: LSTM i, f, g, o (Hochreiter and Schmidhuber, 1997), GRU r, z, n (Cho et al., 2014,
/// arXiv 1406.1078; the reset gate on what the state gives, after its bias).
enum class Cell : std::uint8_t { Lstm, Gru };

/// A recurrent layer, zero initial state, single precision; on a CUDA device bf16 as well, of up to 96 units. On a CPU the input
/// projection and all steps of a few sequences run at once, while their weights stay in the cache; gates are computed on what
/// is in registers; the instruction set is chosen at run time. On a CUDA device one product projects all inputs, then one
/// launch runs all steps (cuda/recurrence.h, cuda/recurrence_bf16.h).
///
///     pollard::packed_lstm(Tensor input [.., inputs], Tensor weight, int hidden, int dim)
///         -> Tensor [.., directions * hidden]             reads along dimension `dim`
///     pollard::packed_lstm_map(Tensor input [B, H, W, inputs], Tensor columns, Tensor rows,
///                              int hidden_columns, int hidden_rows)
///         -> Tensor [B, H, W, directions * (hidden_columns + hidden_rows)]
///             BiLSTM2D: one layer down (and up) every column, one along (and back) every row, joined
///     pollard::packed_gru(..), pollard::packed_gru_map(..)    the same of a GRU
///
/// A weight that is not packed for this input and this processor or device, another type: ValueError.
///
/// One direction of a layer of g gates: weight_ih [g H, inputs], weight_hh [g H, H], biases [g H] or undefined.
struct Direction {
  at::Tensor weight_ih, weight_hh, bias_ih, bias_hh;
};

/// The layer's weights in the order in which the kernel reads them: [directions, panels, inputs + biases + H, gates, lanes],
/// zeros beyond H. After the inputs' rows an LSTM has both biases in one row; a GRU has b_ir + b_hr, b_iz + b_hz, b_in in
/// one and 0, 0, b_hn in the next. For this processor, or in the form for CUDA devices of the weights' type (DeviceLayer).
at::Tensor pack_layer(Cell cell, std::span<const Direction> directions, at::DeviceType device = at::kCPU);

/// A layer packed for CUDA devices is [directions, size], in bf16 [directions, size / 16, 16], which no layer packed in single
/// precision and rounded looks like. A direction's parts, one after the other and zeros up to a quadruple:
///
///     0          weight_hh as the recurrence reads it, zeros for units beyond H
///     weight_ih  [inputs, g U], U = H; in bf16 [inputs, U / 8, g, 8] with U padded to sixteens
///     biases     of a row of weight_ih: LSTM b_i + b_h; GRU b_ir + b_hr, b_iz + b_hz, b_in
///     bias_hn    [U]: of a GRU alone
struct DeviceLayer {
  DeviceLayer(Cell cell, std::int64_t inputs, std::int64_t hidden, at::ScalarType type = at::kFloat);
  std::int64_t gates, units, weight_ih, biases, bias_hn, size;
};

/// "avx512", "avx2" or "portable": what this processor runs.
const char* layer_instruction_set();
/// For tests: as pack_layer and pollard::packed_lstm or packed_gru, in a given instruction set the processor has.
at::Tensor layer_with(const char* instruction_set, Cell cell, const at::Tensor& input,
                      std::span<const Direction> directions, std::int64_t dim);
std::vector<const char*> layer_instruction_sets();  ///< those this processor has, best first

}  // namespace pollard::kernels
