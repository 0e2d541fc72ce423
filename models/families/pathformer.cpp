// SPDX-License-Identifier: Apache-2.0
#include "models/families/pathformer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/avg_pool1d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/var.h>
#include <ATen/ops/zeros.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>

#include "models/families/pathformer_expert.h"
#include "models/layers/conv.h"

namespace pollard::models {
namespace {

using pathformer_parts::Expert;

/// Zero wherever a number is not among the k largest of its row; ties at the k-th all stay.
at::Tensor among_largest(const at::Tensor& x, std::int64_t k, std::int64_t dim) {
  return x.ge(std::get<0>(at::topk(x, k, dim)).narrow(dim, k - 1, 1));
}

/// Chooses experts by what the series looks like.
struct Router : Module {
  Linear start, gate, noise, trend_mix;
  at::Tensor cosines, sines;  ///< [F, S]: cos and sin of 2 pi f t / S for the frequencies between the ends
  std::int64_t k;
  Router(std::int64_t experts, const PathformerSpec& s)
      : start(s.num_nodes, 1), gate(s.seq_len, experts), noise(s.seq_len, experts), trend_mix(1, 3), k(s.k) {
    const double length = static_cast<double>(s.seq_len);
    const at::Tensor frequency = at::arange(1, (s.seq_len + 1) / 2, at::kDouble);
    const at::Tensor angle =
        at::outer(frequency, at::arange(s.seq_len, at::kDouble)).mul(2 * std::numbers::pi / length);
    buffer("cosines", cosines, at::cos(angle).to(at::kFloat), false);
    buffer("sines", sines, at::sin(angle).to(at::kFloat), false);
    children(
        {{"start_linear", start}, {"trend_model.layer", trend_mix}, {"w_noise", noise}, {"w_gate", gate}});
  }

  /// Logits [B, E] of the first channel [B, S, N].
  at::Tensor logits(const at::Tensor& series) const {
    return gate(start(series.add(season(series)).add(trend(series))).squeeze(-1));
  }
  at::Tensor gates(const at::Tensor& logits) const {
    const at::Tensor chosen = among_largest(logits, k, -1);
    const at::Tensor others = chosen.logical_not();
    return at::softmax(logits.masked_fill(others, -std::numeric_limits<double>::infinity()), -1);
  }

 private:
  /// The three strongest frequencies of each series, by a discrete Fourier transform written as two products.
  at::Tensor season(const at::Tensor& series) const {
    const at::Tensor real = at::matmul(cosines, series), imaginary = at::matmul(sines, series);  // [B, F, N]
    const at::Tensor power = real.square().add(imaginary.square());
    const at::Tensor strong = among_largest(power, 3, 1).to(series.scalar_type());
    return at::matmul(cosines.t(), real.mul(strong))
        .add(at::matmul(sines.t(), imaginary.mul(strong)))
        .mul(2 / static_cast<double>(cosines.size(1)));
  }
  /// Three moving averages, the ends repeated, mixed by the value itself.
  at::Tensor trend(const at::Tensor& series) const {
    const std::int64_t length = series.size(1);
    std::vector<at::Tensor> means;
    for (const std::int64_t kernel : {4, 8, 12}) {
      const std::int64_t after = (kernel - 1) / 2, before = kernel - 1 - after;
      const auto copies = [&](std::int64_t at, std::int64_t count) {
        return series.narrow(1, at, 1).expand({series.size(0), count, series.size(2)});
      };
      const at::Tensor longer = at::cat({copies(0, before), series, copies(length - 1, after)}, 1);
      means.push_back(at::avg_pool1d(longer.transpose(1, 2), {kernel}, {1}).transpose(1, 2));
    }
    const at::Tensor mix = at::softmax(trend_mix(series.unsqueeze(-1)), -1);
    return at::stack(means, -1).mul(mix).sum(-1);
  }
};

/// Adaptive multi-scale block: a router over experts.
struct MultiScale : Module {
  struct Output {
    at::Tensor x, balance, logits;
  };
  at::Tensor mean, deviation;  // carried by checkpoints, read by nobody
  Router router;
  ModuleList<Expert> experts;
  Conv2d unused;
  bool residual;
  MultiScale(const std::vector<std::int64_t>& patch_sizes, const PathformerSpec& s)
      : router(std::ssize(patch_sizes), s),
        unused(s.seq_len, s.seq_len, 1),
        residual(s.residual_connection != 0) {
    buffer("mean", mean, at::zeros({1}));
    buffer("std", deviation, at::zeros({1}).add(1));
    for (const std::int64_t size : patch_sizes) experts.emplace(size, s);
    children({{"", router}, {"experts", experts}, {"end_MLP.fc", unused}});
  }
  Output operator()(const at::Tensor& x) const {
    const at::Tensor logits = router.logits(x.select(-1, 0)), gates = router.gates(logits);
    at::Tensor sum;
    for (std::int64_t e = 0; e < std::ssize(experts); ++e) {
      // What is not chosen may be any number, also one whose exponential overflows.
      const at::Tensor gate = gates.select(1, e).view({x.size(0), 1, 1, 1});
      const at::Tensor y = experts[static_cast<std::size_t>(e)](x).masked_fill(gate.eq(0), 0);
      const at::Tensor part = y.exp().mul(gate);
      sum = sum.defined() ? sum.add(part) : part;
    }
    const at::Tensor mixed = sum.masked_fill(sum.eq(0), std::numeric_limits<double>::epsilon()).log();
    return {residual ? mixed.add(x) : mixed, balance(gates), logits};
  }

 private:
  /// Small when the experts get equal shares of the batch, by weight and by count.
  static at::Tensor balance(const at::Tensor& gates) {
    if (gates.size(1) == 1) return gates.sum().mul(0);
    const auto spread = [](const at::Tensor& shares) {  // squared coefficient of variation
      return at::var(shares, at::OptionalIntArrayRef{0}, 1).div(shares.mean().square().add(1e-10));
    };
    return spread(gates.sum(0)).add(spread(gates.gt(0).to(gates.scalar_type()).sum(0))).mul(0.01);
  }
};

class Pathformer : public Network {
 public:
  explicit Pathformer(PathformerSpec spec)
      : spec_(std::move(spec)),
        start_(1, spec_.d_model),
        project_(spec_.seq_len * spec_.d_model, spec_.pred_len) {
    for (const auto& sizes : spec_.patch_size_list) layers_.emplace(sizes, spec_);
    children({{"start_fc", start_}, {"AMS_lists", layers_}, {"projections.0", project_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& series = inputs.at(0);
    const at::Tensor mean = series.mean(1, true);
    const at::Tensor deviation = at::sqrt(at::var(series, at::OptionalIntArrayRef{1}, 0, true).add(1e-5));
    at::Tensor x = spec_.revin != 0 ? series.sub(mean).div(deviation) : series;
    x = start_(x.unsqueeze(-1));
    at::Tensor balance;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const auto out = layers_[i](x);
      x = out.x;
      balance = balance.defined() ? balance.add(out.balance) : out.balance;
      tap("router " + std::to_string(i), out.logits);
      tap("layer " + std::to_string(i), x);
    }
    if (tapping()) tap("balance", balance.view({1}));
    const at::Tensor flat = x.transpose(1, 2).reshape({x.size(0), spec_.num_nodes, x.size(1) * x.size(3)});
    const at::Tensor forecast = project_(flat).transpose(1, 2);
    return Result::tuple({spec_.revin != 0 ? forecast.mul(deviation).add(mean) : forecast, balance});
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), spec_.seq_len, spec_.num_nodes}}};
  }

 private:
  PathformerSpec spec_;
  Linear start_, project_;
  ModuleList<MultiScale> layers_;
};

/// The balance loss, then each layer's router, then each layer's output.
std::vector<std::string> taps(std::string_view golden) {
  std::vector<std::string> names{"balance"};
  const std::size_t layers = nlohmann::json::parse(golden).at("outputs").size() / 2 - 1;
  for (const std::string what : {"router ", "layer "})
    for (std::size_t i = 0; i < layers; ++i) names.push_back(what + std::to_string(i));
  return names;
}

}  // namespace

Family pathformer() {
  Family f =
      make_family<PathformerSpec, Pathformer>("pathformer", "Pathformer forecasters with routed patch sizes");
  f.published = {{"pathformer-etth1-96", "{}", 438'482}};
  f.small_specs = {
      R"({"layer_nums":2,"num_nodes":3,"pred_len":8,"seq_len":24,"k":2,"patch_size_list":[[8,6,4],[6,4]],
                       "d_model":4,"d_ff":16})",
      R"({"layer_nums":1,"num_nodes":2,"pred_len":4,"seq_len":24,"k":1,"patch_size_list":[[12,4]],"d_model":4,
                       "d_ff":8,"residual_connection":0,"revin":0,"batch_norm":1})"};
  f.golden_archs = {"pathformer_*"};
  f.golden_taps = taps;
  f.spec_from_shapes = guess_pathformer;
  return f;
}

}  // namespace pollard::models
