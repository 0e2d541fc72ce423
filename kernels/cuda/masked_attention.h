// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// Rows of every head of every batch; a row's numbers are neighbours.
struct HeadRows {
  const float* data;
  std::int64_t batch_stride, head_stride, row_stride;
};

/// Attention whose heads have a gate each (kernels/attention/masked_attention.h says what it computes): q [batch, heads,
/// queries, width], k [.., keys, width], v [.., keys, value_width], output [batch, queries, heads, value_width]. No matrix of
/// scores is stored.
struct MaskedAttention {
  HeadRows q, k, v;
  HeadRows mask;       ///< added to the scores, rows of `keys`; no data for none
  const float* gates;  ///< [batch, heads]
  float* output;
  std::int64_t batch, heads, queries, keys, width, value_width;
  float scale;
  bool causal;  ///< query t reads keys up to t
};

/// Value widths up to 256.
void masked_attention(const MaskedAttention& call, void* stream);

}  // namespace pollard::kernels::cuda
