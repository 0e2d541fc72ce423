// SPDX-License-Identifier: Apache-2.0
#include "models/layers/long_convolution.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/fft_irfft.h>
#include <ATen/ops/fft_rfft.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/sin.h>

#include <cmath>
#include <numbers>

namespace pollard::models {
namespace {

/// z [1, L, 2b + 1]: the position in [0, 1], then cosines and negated sines of b frequencies over it.
void position_features(at::Tensor& z, const at::Generator&) {
  const std::int64_t length = z.size(1), bands = (z.size(2) - 1) / 2;
  const at::Tensor position = at::linspace(0, 1, length).unsqueeze(1);
  const at::Tensor angle =
      at::arange(length, at::kFloat).mul(2 * std::numbers::pi / static_cast<double>(length)).unsqueeze(1);
  const at::Tensor turned = angle.mul(at::linspace(1e-4, static_cast<double>(bands - 1), bands));
  z.copy_(at::cat({position, at::cos(turned), at::sin(turned).neg()}, 1).unsqueeze(0));
}

}  // namespace

Sine::Sine(std::int64_t width, double w, double m) : w_mod(m) {
  parameter("freq", freq, {1, width}, Init::constant(w));
}
at::Tensor Sine::operator()(const at::Tensor& x) const {
  return at::sin((w_mod == 1 ? freq : freq.mul(w_mod)).mul(x));
}

LongConvolution::FilterMlp::FilterMlp(const Options& o, Sine& s)
    : first(o.features, o.order),
      second(o.order, o.order),
      third(o.order, o.order),
      last(o.order, o.width, Bias::No),
      sine(&s) {
  children({{"0", first}, {"1", s}, {"2", second}, {"3", s}, {"4", third}, {"5", s}, {"6", last}});
}
at::Tensor LongConvolution::FilterMlp::operator()(const at::Tensor& x) const {
  return last((*sine)(third((*sine)(second((*sine)(first(x)))))));
}

LongConvolution::LongConvolution(const Options& o) : sine(o.order, o.w, o.w_mod), forward_filter(o, sine) {
  parameter("bias", bias, {o.width}, Init::normal(1));
  parameter("pos_emb.z", z, {1, o.longest, o.features}, Init::by(position_features));
  buffer("pos_emb.t", t, at::linspace(0, 1, o.longest).view({1, o.longest, 1}));
  // The slowest and the fastest decay reach 1 % after 1.5 and 0.3 times the longest sequence.
  const double slow = std::log(0.01) / 1.5, fast = std::log(0.01) / 0.3;
  buffer("modulation.deltas", deltas, at::linspace(slow, fast, o.width).view({1, 1, o.width}));
  child("implicit_filter", forward_filter);
  if (o.bidirectional) child("implicit_filter_rev", reverse_filter.emplace(o, sine));
}

at::Tensor LongConvolution::taps(const FilterMlp& mlp, std::int64_t length) const {
  const at::Tensor decay = at::exp(t.slice(1, 0, length).neg().mul(deltas.abs()));
  return mlp(z.slice(1, 0, length)).mul(decay).squeeze(0).transpose(0, 1);
}

at::Tensor LongConvolution::operator()(const at::Tensor& u) const {
  const std::int64_t length = u.size(2);
  at::Tensor kernel = taps(forward_filter, length);
  // What lies ahead wraps around: taps[j] reaches t + 1 + j from the far end of twice the length.
  if (reverse_filter) kernel = at::cat({kernel, taps(*reverse_filter, length).flip(-1)}, -1);
  const at::Tensor spectrum = at::fft_rfft(u, 2 * length).mul(at::fft_rfft(kernel, 2 * length));
  return at::fft_irfft(spectrum, 2 * length).slice(-1, 0, length).add(u.mul(bias.unsqueeze(-1)));
}

}  // namespace pollard::models
