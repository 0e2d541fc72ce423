// SPDX-License-Identifier: Apache-2.0
#include "pruning/sentence_network.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <vector>

#include "models/init.h"
#include "models/io/cancel.h"

namespace pollard::pruning {
namespace {

at::Tensor filled(at::IntArrayRef shape, const models::Init& init, const at::Generator& generator) {
  return models::fresh(at::empty(shape, at::kFloat), init, generator);
}

/// Adam with the paper's betas, one fused update for all parameters.
class Adam {
 public:
  Adam(const std::vector<at::Tensor>& parameters, double rate) : rate_(rate) {
    const c10::NoGradGuard no_grad;
    for (const at::Tensor& parameter : parameters) {
      parameters_.push_back(parameter.detach());
      mean_.push_back(at::zeros_like(parameter));
      square_.push_back(at::zeros_like(parameter));
      steps_.push_back(at::zeros({}, at::kFloat));
    }
  }
  /// Takes the gradients away from `of`.
  void step(std::vector<at::Tensor>& of) {
    const c10::NoGradGuard no_grad;
    std::vector<at::Tensor> gradients;
    for (at::Tensor& parameter : of) {
      gradients.push_back(parameter.grad());
      parameter.mutable_grad() = at::Tensor();
    }
    for (const at::Tensor& step : steps_) step.add_(1);
    at::_fused_adam_(parameters_, gradients, mean_, square_, {}, steps_, rate_, 0.9, 0.98, 0, 1e-9, false,
                     false);
  }

 private:
  double rate_;
  std::vector<at::Tensor> parameters_, mean_, square_, steps_;
};

}  // namespace

SentenceNetwork::SentenceNetwork(std::int64_t width, std::int64_t hidden, std::int64_t out,
                                 std::uint64_t seed) {
  const at::Generator g = at::detail::createCPUGenerator(seed);
  const models::Init of_width = models::Init::inverse_sqrt(width),
                     of_hidden = models::Init::inverse_sqrt(hidden);
  norm0_weight_ = filled({width}, models::Init::ones(), g);
  norm0_bias_ = filled({width}, models::Init::zeros(), g);
  widen_weight_ = filled({hidden, width}, of_width, g);
  widen_bias_ = filled({hidden}, of_width, g);
  norm3_weight_ = filled({hidden}, models::Init::ones(), g);
  norm3_bias_ = filled({hidden}, models::Init::zeros(), g);
  narrow_weight_ = filled({out, hidden}, of_hidden, g);
  narrow_bias_ = filled({out}, of_hidden, g);
}

at::Tensor SentenceNetwork::operator()(const at::Tensor& x) const {
  const at::Tensor normed = at::layer_norm(x, norm0_weight_.sizes(), norm0_weight_, norm0_bias_);
  const at::Tensor wide = at::leaky_relu(at::linear(normed, widen_weight_, widen_bias_), 0.01);
  return at::linear(at::layer_norm(wide, norm3_weight_.sizes(), norm3_weight_, norm3_bias_), narrow_weight_,
                    narrow_bias_);
}

std::array<SentenceNetwork::Named, 8> SentenceNetwork::parameters() const {
  return {{{"layers.0.weight", norm0_weight_},
           {"layers.0.bias", norm0_bias_},
           {"layers.1.weight", widen_weight_},
           {"layers.1.bias", widen_bias_},
           {"layers.3.weight", norm3_weight_},
           {"layers.3.bias", norm3_bias_},
           {"layers.4.weight", narrow_weight_},
           {"layers.4.bias", narrow_bias_}}};
}

SentencePairs rows(const SentencePairs& p, std::int64_t first, std::int64_t end) {
  return {p.x.slice(0, first, end), p.y.slice(0, first, end), p.present.slice(0, first, end)};
}

double relative_error(const SentenceNetwork& network, const SentencePairs& p) {
  const c10::NoGradGuard no_grad;
  const at::Tensor wanted = p.y.mul(p.present);
  const double size = at::linalg_vector_norm(wanted).item<double>();
  const double error = at::linalg_vector_norm(network(p.x).mul(p.present).sub(wanted)).item<double>();
  return size > 0 ? error / size : 0;
}

void train(SentenceNetwork& network, const SentencePairs& pairs, const AdamOptions& options,
           const std::function<void(int)>& after_epoch) {
  const c10::AutoGradMode with_grad(true);
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : network.parameters()) {
    parameters.push_back(tensor);
    parameters.back().requires_grad_(true);
  }
  Adam adam(parameters, options.learning_rate);
  const at::Generator generator = at::detail::createCPUGenerator(options.seed);
  const std::int64_t samples = pairs.x.size(0);
  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    const at::Tensor order = at::randperm(samples, generator, at::kLong);
    for (std::int64_t first = 0; first < samples; first += options.batch) {
      models::io::throw_if_cancelled();
      const at::Tensor chosen = order.slice(0, first, std::min(first + options.batch, samples));
      const at::Tensor present = pairs.present.index_select(0, chosen);
      const at::Tensor difference =
          network(pairs.x.index_select(0, chosen)).sub(pairs.y.index_select(0, chosen));
      difference.mul(present).square().sum().div(present.sum().clamp_min(1)).backward();
      adam.step(parameters);
    }
    after_epoch(epoch);
  }
  for (at::Tensor& parameter : parameters) parameter.requires_grad_(false);
}

}  // namespace pollard::pruning
