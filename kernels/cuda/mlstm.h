// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// The mLSTM's parallel form (kernels/recurrent/mlstm.h says what it computes), heads one after the other: q, k [heads,
/// steps, width], v and output [heads, steps, value_width], gates i, f [heads, steps]. No S x S matrix is stored.
struct Mlstm {
  const float *q, *k, *v, *i, *f;
  float* output;
  float *g, *top, *bound;  ///< [heads, steps] each: working memory
  std::int64_t heads, steps, width, value_width;
  float eps;
};

/// Widths up to 512.
void mlstm(const Mlstm& layer, void* stream);

}  // namespace pollard::kernels::cuda
