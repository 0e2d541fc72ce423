// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// The recurrence of an LSTM or GRU layer, zero initial state, both directions in one launch. Gates as PyTorch stacks them:
/// LSTM i, f, g, o, GRU r, z, n. Sequence r, step t is token (r / inner) steps inner + r % inner + t inner, so that maps are
/// read along columns and rows where they lie.
struct Recurrence {
  /// [directions, tokens, gates H]: what the inputs give, biases included (of a GRU all but that of n's recurrent part).
  const float* gates;
  /// Direction d at d weight_stride, [recurrence_rows(H) / 4, gates, H, 4]: what units 4 k .. 4 k + 3 add to a gate of unit j;
  /// zeros for units beyond H. Both 16-byte aligned.
  const float* weight_hh;
  const float* bias_hn;  ///< of a GRU alone: [H], direction d at d weight_stride
  std::int64_t weight_stride;
  float* output;  ///< [tokens, output_width]; direction d writes H values at output_offset + d H
  std::int64_t sequences, steps, inner, hidden, directions;
  std::int64_t output_width, output_offset;
};

/// H rounded up to whole quadruples.
constexpr std::int64_t recurrence_rows(std::int64_t hidden) { return (hidden + 3) / 4 * 4; }

/// What a block has: rows of threads (1, 2 or 4), each with so many sequences (2 or 8).
struct RecurrenceTiling {
  int sequences;
  unsigned groups;
};
/// Few sequences go to as many blocks as can be, many share a block's weights.
RecurrenceTiling recurrence_tiling(const Recurrence& layer);

/// The stream is a cudaStream_t. H is at most 2048.
void lstm_recurrence(const Recurrence& layer, void* stream, RecurrenceTiling tiling);
void gru_recurrence(const Recurrence& layer, void* stream, RecurrenceTiling tiling);
inline void lstm_recurrence(const Recurrence& layer, void* stream) {
  lstm_recurrence(layer, stream, recurrence_tiling(layer));
}
inline void gru_recurrence(const Recurrence& layer, void* stream) {
  gru_recurrence(layer, stream, recurrence_tiling(layer));
}

}  // namespace pollard::kernels::cuda
