// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

#include "models/layers/linear.h"
#include "models/module.h"

namespace pollard::models {

/// One number a spatial dimension; a single number means the same in each.
template <std::size_t N>
struct PerDim : std::array<std::int64_t, N> {
  PerDim(std::int64_t all) {
    this->fill(all);
  }  // NOLINT(google-explicit-constructor): Conv2d(3, 8, 3) reads well
  PerDim(std::array<std::int64_t, N> each) : std::array<std::int64_t, N>(each) {}  // NOLINT
};

/// What a convolution has beside its channels and kernel.
template <std::size_t N>
struct ConvOptions {
  PerDim<N> stride = 1;
  PerDim<N> padding = 0;
  PerDim<N> dilation = 1;
  std::int64_t groups = 1;
  Bias bias = Bias::Yes;
};

/// N-dimensional convolution of x [B, in, spatial...]; weight [out, in / groups, kernel...].
/// Fresh: PyTorch's default, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for both.
template <std::size_t N>
struct Conv : Module {
  at::Tensor weight, bias;
  ConvOptions<N> options;
  Conv(std::int64_t in, std::int64_t out, PerDim<N> kernel, ConvOptions<N> options = {});
  at::Tensor operator()(const at::Tensor& x) const;
};
using Conv1d = Conv<1>;
using Conv2d = Conv<2>;

/// The transposed convolution; weight [in, out / groups, kernel...].
template <std::size_t N>
struct ConvTranspose : Module {
  at::Tensor weight, bias;
  ConvOptions<N> options;
  PerDim<N> output_padding;
  ConvTranspose(std::int64_t in, std::int64_t out, PerDim<N> kernel, ConvOptions<N> options = {},
                PerDim<N> output_padding = 0);
  at::Tensor operator()(const at::Tensor& x) const;
};
using ConvTranspose1d = ConvTranspose<1>;
using ConvTranspose2d = ConvTranspose<2>;

extern template struct Conv<1>;
extern template struct Conv<2>;
extern template struct ConvTranspose<1>;
extern template struct ConvTranspose<2>;

}  // namespace pollard::models
