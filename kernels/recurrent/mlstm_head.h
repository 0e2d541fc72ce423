// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pollard::kernels {

/// One head of one sequence (mlstm.h) as mlstm_head.inc runs it.
struct MlstmHead {
  const float *g, *top, *bound;  ///< [steps]; g has zeros for a panel beyond
  std::int64_t steps, width, value_width;
  float eps;
  bool chunked;
};

/// [B, heads, S], contiguous: g (with `beyond` zeros behind), top and bound = exp(-decay - top).
struct MlstmGates {
  at::Tensor g, top, bound;
};
MlstmGates accumulate_gates(const at::Tensor& i, const at::Tensor& f, std::int64_t beyond);

/// Head number `head` of sequence number `b`. Over many steps it is chunked: a state takes the place of earlier panels.
MlstmHead mlstm_head(const MlstmGates& gates, std::int64_t b, std::int64_t head, std::int64_t width,
                     std::int64_t value_width, double eps, std::int64_t panel);

}  // namespace pollard::kernels
