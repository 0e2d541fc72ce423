// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// The recurrence of an LSTM layer, gates i, f, g, o, zero initial state, both directions in one launch. The input
/// projections are given: gates [tokens, directions 4 H], biases included. Sequence r, step t is token
/// (r / inner) steps inner + r % inner + t inner, so that maps are read along columns and rows where they lie.
struct LstmRecurrence {
  const float* gates;
  const float* weight_hh;  ///< [directions, 4 H, H]
  float* output;           ///< [tokens, output_width]; direction d writes H values at output_offset + d H
  std::int64_t sequences, steps, inner, hidden, directions;
  std::int64_t output_width, output_offset;
};

/// The stream is a cudaStream_t.
void lstm_recurrence(const LstmRecurrence& layer, void* stream);

}  // namespace pollard::kernels::cuda
