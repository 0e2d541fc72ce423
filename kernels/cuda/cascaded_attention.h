// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// A head's weights: qkv [2 keys + given, read] and depthwise [keys, side, side], side odd, with their biases.
struct CascadedHead {
  const float *qkv, *qkv_bias, *depthwise, *depthwise_bias;
  int read, keys, given, side;
};

/// Cascaded group attention (kernels/attention/cascaded_attention.h says what it computes) over windows of n = height width
/// positions: input [windows, sum of read, n], bias [heads, n, n], output [windows, sum of given, n]. A head after the first
/// reads as many channels as the one before gives.
constexpr int kMostCascadedHeads = 16;
struct CascadedAttention {
  const float *input, *bias;
  float* output;
  std::int64_t windows;
  int height, width, heads;
  float scale;
  CascadedHead head[kMostCascadedHeads];
};

/// Whether a window, up to 512 positions, fits into the shared memory of a block on every architecture that is built: 163 KiB.
/// With heads of 64 channels and 16 keys that is 13 x 13 positions.
bool takes_cascade(const CascadedAttention& call);

void cascaded_attention(const CascadedAttention& call, void* stream);

}  // namespace pollard::kernels::cuda
