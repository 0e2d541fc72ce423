// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// The recurrence of an LSTM or GRU layer in bf16 on tensor cores, zero initial state, both directions in one launch: products
/// of bf16 added in f32, what cells remember in f32, what they show rounded to bf16. Gates as PyTorch stacks them: LSTM i, f, g,
/// o, GRU r, z, n. Sequences and steps lie among the tokens as those of Recurrence do (recurrence.h).
///
/// Units are padded to P = bf16_units(H); a padded one has zero weights and gates, shows zero and is not written. Words hold two
/// bf16, the first in the lower half.
struct RecurrenceBf16 {
  /// [directions, tokens, P / 8, gates, 8 units]: what the inputs give, biases included (of a GRU all but that of n's recurrent
  /// part). 16-byte aligned.
  const unsigned* gates;
  /// Direction d at d weight_stride words, [P / 8, P / 16, gates, 8, 4, 2, 2]: place [u, k, g, r, c, half, e] is what unit
  /// 16 k + 8 half + 2 c + e adds to gate g of unit 8 u + r. It is the order in which lanes hold it (multiply_bf16).
  const unsigned* weight_hh;
  const unsigned* bias_hn;  ///< of a GRU alone: [P], direction d at d weight_stride words
  std::int64_t weight_stride;
  std::uint16_t* output;  ///< [tokens, output_width]; direction d writes H values at output_offset + d H
  std::int64_t sequences, steps, inner, hidden, directions;
  std::int64_t output_width, output_offset;
};

/// Up to so many units.
constexpr std::int64_t kMostBf16Units = 96;
/// H rounded up to whole slices of a product.
constexpr std::int64_t bf16_units(std::int64_t hidden) { return (hidden + 15) / 16 * 16; }

/// The stream is a cudaStream_t.
void lstm_recurrence_bf16(const RecurrenceBf16& layer, void* stream);
void gru_recurrence_bf16(const RecurrenceBf16& layer, void* stream);

}  // namespace pollard::kernels::cuda
