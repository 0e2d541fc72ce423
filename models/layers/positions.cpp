// SPDX-License-Identifier: Apache-2.0
#include "models/layers/positions.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stack.h>

#include <cmath>

namespace pollard::models {

at::Tensor sinusoidal_table(std::int64_t width, std::int64_t length) {
  const at::Tensor t = at::arange(length, at::kFloat).unsqueeze(1);
  const at::Tensor even = at::arange(0, width, 2, at::kFloat);
  const at::Tensor angle = t.mul(at::exp(even.mul(-std::log(10000.0) / static_cast<double>(width))));
  return at::stack({at::sin(angle), at::cos(angle)}, 2).reshape({length, width});
}

SinusoidalPositions::SinusoidalPositions(std::int64_t width, std::int64_t length) {
  buffer("pe", pe, sinusoidal_table(width, length));
}

}  // namespace pollard::models
