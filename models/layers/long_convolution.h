// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "models/layers/linear.h"
#include "models/module.h"

namespace pollard::models {

/// sin(w_mod * freq * x) with trained frequencies freq [1, width].
struct Sine : Module {
  at::Tensor freq;
  double w_mod;
  Sine(std::int64_t width, double w, double w_mod);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// A depthwise convolution as long as the sequence (Hyena, Poli et al., 2023, arXiv 2302.10866; both directions as in
/// Monarch Mixer, Fu et al., 2023, arXiv 2310.12109), whose filters a small network writes from position features z:
///
///     y_t = sum_{j <= t} f[j] u[t-j] + sum_{j >= 0} g[j] u[t+1+j] + bias u_t
///     f   = mlp(z) * exp(-t |deltas|)                  (g: another mlp, the same z, t and deltas)
///
/// computed with Fourier transforms of twice the length. A shorter sequence takes the first taps. One Sine stands after
/// every hidden layer of both mlps. z is a parameter; t and deltas are buffers.
struct LongConvolution : Module {
  struct Options {
    std::int64_t width = 1, longest = 1;     ///< channels; positions at most
    std::int64_t features = 5, order = 128;  ///< width of z (odd) and of the mlps
    double w = 10, w_mod = 1;                ///< fresh frequencies, and their factor
    bool bidirectional = true;
  };
  /// Linear, Sine, Linear, Sine, Linear, Sine, Linear without bias: children 0 to 6.
  struct FilterMlp : Module {
    Linear first, second, third, last;
    Sine* sine;
    FilterMlp(const Options& o, Sine& sine);
    at::Tensor operator()(const at::Tensor& z) const;
  };
  at::Tensor bias, z, t, deltas;
  Sine sine;
  FilterMlp forward_filter;
  std::optional<FilterMlp> reverse_filter;
  explicit LongConvolution(const Options& o);
  /// u [B, width, T] -> [B, width, T].
  at::Tensor operator()(const at::Tensor& u) const;

 private:
  at::Tensor taps(const FilterMlp& mlp, std::int64_t length) const;  ///< [width, length]
};

}  // namespace pollard::models
