// SPDX-License-Identifier: Apache-2.0
#include "models/layers/mlstm.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "models/layers/attention.h"

namespace pollard::models {
namespace {

constexpr double kEps = 1e-6;

at::Tensor normalised(const at::Tensor& value, const at::Tensor& sum, const at::Tensor& log_scale) {
  return value.div(at::maximum(sum.abs(), log_scale.neg().exp()).add(kEps));
}

/// The gates of a run of positions. Position t gives position s <= t the weight exp(g_s - top_t): the forget gates
/// before t cancel, so that no matrix of their logarithms is needed to find each row's maximum.
struct Gates {
  at::Tensor decay;  ///< [B, heads, S]: logarithm of the product of the forget gates so far
  at::Tensor g;      ///< i~ - decay
  at::Tensor top;    ///< the largest g so far, the state's m included: m_t = decay_t + top_t
};

Gates accumulate(const MlstmInputs& x, const std::optional<MlstmState>& state) {
  const at::Tensor decay = at::log_sigmoid(x.f).cumsum(-1), g = x.i.sub(decay);
  const at::Tensor top = std::get<0>(at::cummax(g, -1));
  return {decay, g, state ? at::maximum(top, state->m.squeeze(-1)) : top};
}

at::Tensor read(const MlstmInputs& x, const Gates& gates, const std::optional<MlstmState>& state) {
  // Later positions are clamped before the exponential: an infinity there would make NaN of the gradient.
  const at::Tensor weights = gates.g.unsqueeze(-2).sub(gates.top.unsqueeze(-1)).clamp_max(0).exp().tril();
  const at::Tensor scores = at::matmul(x.q, x.k.transpose(-1, -2)).mul(weights);
  at::Tensor value = at::matmul(scores, x.v), sum = scores.sum(-1, true);
  if (state) {
    const at::Tensor fade = state->m.sub(gates.top.unsqueeze(-1)).exp();
    value = value.add(at::matmul(x.q, state->C).mul(fade));
    sum = sum.add(at::matmul(x.q, state->n).mul(fade));
  }
  return normalised(value, sum, gates.decay.add(gates.top).unsqueeze(-1));
}

MlstmState advance(const MlstmInputs& x, const Gates& gates, const std::optional<MlstmState>& state) {
  const std::int64_t length = gates.g.size(-1);
  const at::Tensor top = gates.top.slice(-1, length - 1, length).unsqueeze(-1);
  const at::Tensor decay = gates.decay.slice(-1, length - 1, length).unsqueeze(-1);
  const at::Tensor k = x.k.mul(gates.g.unsqueeze(-1).sub(top).exp()).transpose(-1, -2);
  MlstmState after{at::matmul(k, x.v), k.sum(-1, true), decay.add(top)};
  if (state) {
    const at::Tensor fade = state->m.sub(top).exp();
    after.C = after.C.add(state->C.mul(fade));
    after.n = after.n.add(state->n.mul(fade));
  }
  return after;
}

/// A forget gate's bias: heads from sigmoid(3) to sigmoid(6).
void spread_rates(at::Tensor& bias, const at::Generator& /*generator*/) {
  bias.copy_(at::linspace(3, 6, bias.numel()));
}

MlstmInputs positions(const MlstmInputs& x, std::int64_t first, std::int64_t last) {
  const auto cut = [&](const at::Tensor& t) { return t.slice(2, first, last); };
  return {cut(x.q), cut(x.k), cut(x.v), cut(x.i), cut(x.f)};
}

}  // namespace

MlstmState MlstmState::zeros(const MlstmInputs& x) {
  const std::int64_t b = x.q.size(0), heads = x.q.size(1), d = x.q.size(3);
  return {at::zeros({b, heads, d, d}, x.q.options()), at::zeros({b, heads, d, 1}, x.q.options()),
          at::zeros({b, heads, 1, 1}, x.q.options())};
}

MlstmOutput mlstm_recurrent(const MlstmInputs& x, MlstmState state) {
  std::vector<at::Tensor> h;
  for (std::int64_t t = 0; t < x.q.size(2); ++t) {
    const MlstmInputs now = positions(x, t, t + 1);
    const at::Tensor i = now.i.unsqueeze(-1), kept = at::log_sigmoid(now.f).unsqueeze(-1).add(state.m);
    const at::Tensor m = at::maximum(kept, i), k = now.k.transpose(-1, -2).mul(i.sub(m).exp());
    const at::Tensor f = kept.sub(m).exp();
    state = {state.C.mul(f).add(at::matmul(k, now.v)), state.n.mul(f).add(k), m};
    h.push_back(normalised(at::matmul(now.q, state.C), at::matmul(now.q, state.n), m));
  }
  return {at::cat(h, 2), std::move(state)};
}

at::Tensor mlstm_parallel(const MlstmInputs& x) { return read(x, accumulate(x, {}), {}); }

MlstmOutput mlstm_chunkwise(const MlstmInputs& x, std::int64_t chunk, KeepState keep,
                            std::optional<MlstmState> state) {
  std::vector<at::Tensor> h;
  const std::int64_t length = x.q.size(2);
  for (std::int64_t at = 0; at < length; at += chunk) {
    const bool last = at + chunk >= length;
    const MlstmInputs now = positions(x, at, last ? length : at + chunk);
    const Gates gates = accumulate(now, state);
    h.push_back(read(now, gates, state));
    state = last && keep == KeepState::No ? MlstmState{} : advance(now, gates, state);
  }
  return {at::cat(h, 2), std::move(*state)};
}

ResidualLayerNorm::ResidualLayerNorm(std::int64_t w, Bias with_bias, double e) : width(w), eps(e) {
  parameter("weight", weight, {w});
  if (with_bias == Bias::Yes) parameter("bias", bias, {w});
}
at::Tensor ResidualLayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x, {width}, weight.add(1), bias, eps);
}

BlockDiagonal::BlockDiagonal(std::int64_t width, std::int64_t b, Bias with_bias) {
  parameter("weight", weight, {width / b, b, b}, Init::normal(std::sqrt(2.0 / 5 / static_cast<double>(b))));
  if (with_bias == Bias::Yes) parameter("bias", bias, {width});
}
at::Tensor BlockDiagonal::operator()(const at::Tensor& x) const {
  const std::int64_t b = x.size(0), s = x.size(1);
  const at::Tensor y =
      at::einsum("bsgi,goi->bsgo", {x.reshape({b, s, weight.size(0), weight.size(2)}), weight})
          .reshape({b, s, weight.size(0) * weight.size(1)});
  return bias.defined() ? y.add(bias) : y;
}

CausalConv1d::CausalConv1d(std::int64_t width, std::int64_t k)
    : conv(width, width, k, {.padding = k - 1, .groups = width}) {
  child("conv", conv);
}
at::Tensor CausalConv1d::operator()(const at::Tensor& x) const {
  return conv(x.transpose(1, 2)).slice(2, 0, x.size(1)).transpose(1, 2);
}

MlstmCell::MlstmCell(const Options& o)
    : igate(3 * o.width, o.heads), fgate(3 * o.width, o.heads), options(o) {
  children({{"igate", igate}, {"fgate", fgate}});
  parameter("outnorm.weight", norm_weight, {o.width});
  if (o.norm_bias == Bias::Yes) parameter("outnorm.bias", norm_bias, {o.width});
  set_init([](const std::string& key, at::IntArrayRef) -> std::optional<Init> {
    if (key == "igate.bias") return Init::normal(0.1);
    if (key == "fgate.bias") return Init::by(spread_rates);
    return key.ends_with("gate.weight") ? std::optional(Init::zeros()) : std::nullopt;
  });
}

MlstmInputs MlstmCell::inputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
  const at::Tensor all = at::cat({q, k, v}, -1);
  // A number of the trained network: it stays what it was when heads become narrower.
  const double scale = 1 / std::sqrt(static_cast<double>(options.width / options.heads));
  return {split_heads(q, options.heads), split_heads(k, options.heads).mul(scale),
          split_heads(v, options.heads), igate(all).transpose(1, 2), fgate(all).transpose(1, 2)};
}

at::Tensor MlstmCell::normed(const at::Tensor& h) const {
  const at::Tensor y = merge_heads(at::layer_norm(h, {h.size(-1)}, {}, {}, 1e-5)), scale = norm_weight.add(1);
  return norm_bias.defined() ? at::addcmul(norm_bias, y, scale) : y.mul(scale);
}

at::Tensor MlstmCell::operator()(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
  const MlstmInputs x = inputs(q, k, v);
  switch (options.form) {
    case MlstmForm::Recurrent: return normed(mlstm_recurrent(x, MlstmState::zeros(x)).h);
    case MlstmForm::Chunkwise: return normed(mlstm_chunkwise(x, options.chunk, KeepState::No).h);
    case MlstmForm::Parallel: break;
  }
  return normed(mlstm_parallel(x));
}

}  // namespace pollard::models
