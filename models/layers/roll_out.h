// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/stack.h>

#include <cstdint>
#include <vector>

namespace pollard::models {

/// How far a frame predictor runs: it sees `given` frames, then its own predictions, until `ahead` frames beyond them.
struct Horizon {
  std::int64_t given, ahead;
};

/// The next frame after each frame but the last: [B, given + ahead - 1, ...], of which the last `ahead` are the
/// forecast. `frames` is [B, at least given, ...]; `step(frame)` predicts the next one and keeps its own state.
template <class Step>
at::Tensor roll_out(const at::Tensor& frames, Horizon horizon, Step step) {
  std::vector<at::Tensor> next;
  for (std::int64_t t = 0; t < horizon.given + horizon.ahead - 1; ++t)
    next.push_back(step(t < horizon.given ? frames.select(1, t) : next.back()));
  return at::stack(next, 1);
}

}  // namespace pollard::models
