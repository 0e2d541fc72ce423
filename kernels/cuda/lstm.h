// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// The recurrence of an LSTM layer, gates i, f, g, o, zero initial state, both directions in one launch. The input
/// projections are given: gates [tokens, directions 4 H], biases included. Sequence r, step t is token
/// (r / inner) steps inner + r % inner + t inner, so that maps are read along columns and rows where they lie.
struct LstmRecurrence {
  const float* gates;
  /// [directions, lstm_weight_rows(H), H, 4]: what unit k adds to the four gates of unit j; zeros in rows beyond H.
  const float* weight_hh;
  float* output;  ///< [tokens, output_width]; direction d writes H values at output_offset + d H
  std::int64_t sequences, steps, inner, hidden, directions;
  std::int64_t output_width, output_offset;
};

/// H rounded up to whole quadruples.
constexpr std::int64_t lstm_weight_rows(std::int64_t hidden) { return (hidden + 3) / 4 * 4; }

/// The stream is a cudaStream_t. H is at most 2048.
void lstm_recurrence(const LstmRecurrence& layer, void* stream);

}  // namespace pollard::kernels::cuda
