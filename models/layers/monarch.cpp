// SPDX-License-Identifier: Apache-2.0
#include "models/layers/monarch.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/constant_pad_nd.h>

#include <cmath>
#include <vector>

namespace pollard::models {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// x [rows, n, in] by blocks [n, out, in]: [rows, n, out].
at::Tensor by_block(const at::Tensor& x, const at::Tensor& blocks) {
  return at::bmm(x.transpose(0, 1), blocks.transpose(1, 2)).transpose(0, 1);
}

}  // namespace

at::Tensor multiply_blocks(const at::Tensor& x, const at::Tensor& blocks) {
  const std::int64_t count = blocks.size(0);
  std::vector<std::int64_t> shape = x.sizes().vec();
  std::int64_t rows = 1;
  for (std::size_t d = 0; d + 1 < shape.size(); ++d) rows *= shape[d];
  shape.back() = count * blocks.size(1);
  return by_block(x.reshape({rows, count, blocks.size(2)}), blocks).reshape(shape);
}

at::Tensor monarch_multiply(const at::Tensor& x, const at::Tensor& first, const at::Tensor& second) {
  const std::int64_t rows = x.size(0), l = second.size(0), r = second.size(2);
  const at::Tensor a = by_block(x.view({rows, first.size(0), first.size(2)}), first).reshape({rows, r, l});
  return by_block(a.transpose(1, 2), second).transpose(1, 2).reshape({rows, second.size(1) * l});
}

BlockdiagLinear::BlockdiagLinear(std::int64_t i, std::int64_t o, std::int64_t n, Bias with_bias)
    : in(i), out(o), blocks(n) {
  const double dense = 1 / std::sqrt(static_cast<double>(in));
  parameter("weight", weight, {n, ceil_div(out, n), ceil_div(in, n)},
            Init::uniform(dense * std::sqrt(static_cast<double>(n))));
  if (with_bias == Bias::Yes) parameter("bias", bias, {out}, Init::uniform(dense));
}
at::Tensor BlockdiagLinear::operator()(const at::Tensor& x) const {
  const std::int64_t padded = blocks * weight.size(2);
  at::Tensor y = multiply_blocks(padded == in ? x : at::constant_pad_nd(x, {0, padded - in}), weight);
  if (blocks * weight.size(1) != out) y = y.slice(-1, 0, out);
  return bias.defined() ? y.add(bias) : y;
}

}  // namespace pollard::models
