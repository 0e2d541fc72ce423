// SPDX-License-Identifier: Apache-2.0
#include "models/layers/conv.h"

#include <ATen/ops/conv1d.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose1d.h>
#include <ATen/ops/conv_transpose2d.h>

#include <vector>

namespace pollard::models {
namespace {

template <std::size_t N>
std::vector<std::int64_t> weight_shape(std::int64_t first, std::int64_t second, const PerDim<N>& kernel) {
  std::vector<std::int64_t> shape{first, second};
  shape.insert(shape.end(), kernel.begin(), kernel.end());
  return shape;
}

/// PyTorch counts the fan-in of every convolution, transposed ones too, from the weight's second dimension.
template <std::size_t N>
Init default_init(std::int64_t second, const PerDim<N>& kernel) {
  std::int64_t fan_in = second;
  for (const std::int64_t k : kernel) fan_in *= k;
  return Init::inverse_sqrt(fan_in);
}

}  // namespace

template <std::size_t N>
Conv<N>::Conv(std::int64_t in, std::int64_t out, PerDim<N> kernel, ConvOptions<N> o) : options(o) {
  const Init init = default_init(in / o.groups, kernel);
  parameter("weight", weight, weight_shape(out, in / o.groups, kernel), init);
  if (o.bias == Bias::Yes) parameter("bias", bias, {out}, init);
}

template <std::size_t N>
at::Tensor Conv<N>::operator()(const at::Tensor& x) const {
  const auto& o = options;
  if constexpr (N == 1)
    return at::conv1d(x, weight, bias, o.stride, o.padding, o.dilation, o.groups);
  else
    return at::conv2d(x, weight, bias, o.stride, o.padding, o.dilation, o.groups);
}

template <std::size_t N>
ConvTranspose<N>::ConvTranspose(std::int64_t in, std::int64_t out, PerDim<N> kernel, ConvOptions<N> o,
                                PerDim<N> pad)
    : options(o), output_padding(pad) {
  const Init init = default_init(out / o.groups, kernel);
  parameter("weight", weight, weight_shape(in, out / o.groups, kernel), init);
  if (o.bias == Bias::Yes) parameter("bias", bias, {out}, init);
}

template <std::size_t N>
at::Tensor ConvTranspose<N>::operator()(const at::Tensor& x) const {
  const auto& o = options;
  if constexpr (N == 1)
    return at::conv_transpose1d(x, weight, bias, o.stride, o.padding, output_padding, o.groups, o.dilation);
  else
    return at::conv_transpose2d(x, weight, bias, o.stride, o.padding, output_padding, o.groups, o.dilation);
}

template struct Conv<1>;
template struct Conv<2>;
template struct ConvTranspose<1>;
template struct ConvTranspose<2>;

}  // namespace pollard::models
