// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// Rows times a Monarch matrix (kernels/monarch.h says what is computed, and the sizes' letters): input [rows, k p], first
/// [k, q, p], second [l, s, r] with l r = k q, output [rows, s l], all contiguous, any sizes.
struct Monarch {
  const float *input, *first, *second;
  float* middle;  ///< [rows, k q]: working memory
  float* output;
  std::int64_t rows, k, q, p, l, s, r;
};

void monarch(const Monarch& call, void* stream);

}  // namespace pollard::kernels::cuda
