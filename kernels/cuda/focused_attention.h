// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// Rows of every batch; a row's numbers are neighbours.
struct BatchedRows {
  const float* data;
  std::int64_t count;  ///< of a batch
  std::int64_t batch_stride, row_stride;
};

/// Focused linear attention (kernels/attention/focused_attention.h says what it computes): q, k of heads width columns, v of
/// heads value_width; output [batch, queries, heads value_width].
struct FocusedAttention {
  BatchedRows q, k, v;
  const float* gain;  ///< [heads width]
  float* output;
  float* work;  ///< focused_work(..) numbers: working memory
  std::int64_t batch, heads, width, value_width, factor;
};
std::int64_t focused_work(const FocusedAttention& call);

void focused_attention(const FocusedAttention& call, void* stream);

}  // namespace pollard::kernels::cuda
