// SPDX-License-Identifier: Apache-2.0
#include "models/layers/positions.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <numbers>

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

MapPositions::MapPositions(std::int64_t width) {
  const std::int64_t half = width / 2;
  const at::Tensor channel = at::arange(half, at::kFloat);
  const at::Tensor pair = channel.div(2).floor().mul(2.0 / static_cast<double>(half));
  const at::Tensor speed = at::pow(10000.0, pair).reciprocal(), none = at::zeros({half});
  const at::Tensor odd = channel.remainder(2);
  buffer("down", down, at::cat({speed, none}), false);
  buffer("across", across, at::cat({none, speed}), false);
  buffer("sine", sine, at::cat({odd, odd}).neg().add(1), false);
  buffer("cosine", cosine, at::cat({odd, odd}), false);
}

at::Tensor MapPositions::operator()(std::int64_t h, std::int64_t w, const at::TensorOptions& options) const {
  const auto turn = [&](std::int64_t n) {
    return at::arange(1, n + 1, options).mul(2 * std::numbers::pi / (static_cast<double>(n) + 1e-6));
  };
  const at::Tensor angle =
      turn(h).view({h, 1, 1}).mul(down).add(turn(w).view({1, w, 1}).mul(across)).view({h * w, down.size(0)});
  return at::sin(angle).mul(sine).add(at::cos(angle).mul(cosine));
}

}  // namespace pollard::models
