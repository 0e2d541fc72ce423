// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace pollard::kernels {

/// An LSTM layer on a CPU (Hochreiter and Schmidhuber, 1997), gates i, f, g, o as PyTorch stacks them, zero initial
/// state. The input projection and all steps of a few sequences run at once, while their weights stay in the cache;
/// gates are computed on what is in registers. Single precision; instruction set chosen at run time.
///
///     pollard::packed_lstm(Tensor input [.., inputs], Tensor weight, int hidden, int dim)
///         -> Tensor [.., directions * hidden]             reads along dimension `dim`
///     pollard::packed_lstm_map(Tensor input [B, H, W, inputs], Tensor columns, Tensor rows,
///                              int hidden_columns, int hidden_rows)
///         -> Tensor [B, H, W, directions * (hidden_columns + hidden_rows)]
///             BiLSTM2D: one layer down (and up) every column, one along (and back) every row, joined
///
/// One direction of a layer: weight_ih [4 H, inputs], weight_hh [4 H, H], biases [4 H] or undefined.
struct LstmDirection {
  at::Tensor weight_ih, weight_hh, bias_ih, bias_hh;
};

/// The layer's weights in the order in which the kernel reads them: [directions, panels, inputs + 1 + H, 4, lanes],
/// both biases in row `inputs`, zeros beyond H. For this processor.
at::Tensor pack_lstm(std::span<const LstmDirection> directions);

/// "avx512", "avx2" or "portable": what this processor runs.
const char* lstm_instruction_set();
/// For tests: as pack_lstm and pollard::packed_lstm, in a given instruction set the processor has.
at::Tensor lstm_with(const char* instruction_set, const at::Tensor& input,
                     std::span<const LstmDirection> directions, std::int64_t dim);
std::vector<const char*> lstm_instruction_sets();  ///< those this processor has, best first

}  // namespace pollard::kernels
