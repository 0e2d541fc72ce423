// SPDX-License-Identifier: Apache-2.0
#include "models/layers/rotary.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/stack.h>

namespace pollard::models {

at::Tensor rotary_frequencies(std::int64_t width, double base) {
  return at::pow(base, at::arange(0, width, 2, at::kFloat).div(static_cast<double>(width))).reciprocal();
}

Rotary::Rotary(at::Tensor frequencies, Pairs p) : pairs(p) {
  buffer("inv_freq", inv_freq, std::move(frequencies), false);
}
Rotary::Rotary(std::int64_t width, double base, Pairs p) : Rotary(rotary_frequencies(width, base), p) {}

Rotary::Angles Rotary::angles(const at::Tensor& positions) const {
  const at::Tensor half = positions.to(inv_freq.scalar_type()).unsqueeze(1).mul(inv_freq);
  const at::Tensor all = pairs == Pairs::Halves ? at::cat({half, half}, -1) : half;
  return {all.cos(), all.sin()};
}

at::Tensor Rotary::operator()(const at::Tensor& x, const Angles& angles) const {
  if (pairs == Pairs::Halves) {
    const std::int64_t half = x.size(-1) / 2;
    const at::Tensor turned = at::cat({x.slice(-1, half).neg(), x.slice(-1, 0, half)}, -1);
    return x.mul(angles.cosine).add(turned.mul(angles.sine));
  }
  const at::Tensor pair = x.view({x.size(0), x.size(1), x.size(2), x.size(3) / 2, 2});
  const at::Tensor a = pair.select(-1, 0), b = pair.select(-1, 1);
  return at::stack(
             {a.mul(angles.cosine).sub(b.mul(angles.sine)), b.mul(angles.cosine).add(a.mul(angles.sine))}, -1)
      .flatten(-2);
}

}  // namespace pollard::models
