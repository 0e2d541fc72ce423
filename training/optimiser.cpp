// SPDX-License-Identifier: Apache-2.0
#include "training/optimiser.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "graph/error.h"

namespace pollard::training {

Optimiser::Optimiser(OptimiserOptions options, std::vector<Parameter> parameters)
    : options_(options), parameters_(std::move(parameters)) {
  const bool sgd = options_.kind == OptimiserOptions::Kind::Sgd;
  for (const char* kind : {sgd ? "momentum" : "mean", sgd ? "" : "square"}) {
    if (*kind == '\0') continue;
    auto& tensors = state_[kind];
    for (const Parameter& p : parameters_) tensors[p.name] = at::zeros_like(p.tensor.detach());
  }
}

void Optimiser::step(double rate) {
  const c10::NoGradGuard no_grad;
  ++steps_;
  step(rate, true);
  step(rate, false);
}

void Optimiser::step(double rate, bool decayed) {
  std::vector<at::Tensor> tensors, gradients, first, second, squares_max, steps;
  const bool sgd = options_.kind == OptimiserOptions::Kind::Sgd;
  for (const Parameter& p : parameters_) {
    if (p.decay != decayed || !p.tensor.grad().defined()) continue;
    tensors.push_back(p.tensor.detach());
    gradients.push_back(p.tensor.grad());
    first.push_back(state_.at(sgd ? "momentum" : "mean").at(p.name));
    if (sgd) continue;
    second.push_back(state_.at("square").at(p.name));
    steps.push_back(at::scalar_tensor(static_cast<double>(steps_), p.tensor.options().dtype(at::kFloat)));
  }
  if (tensors.empty()) return;
  const double decay = decayed ? options_.weight_decay : 0;
  if (sgd)
    at::_fused_sgd_(tensors, gradients, first, decay, options_.momentum, rate, /*dampening=*/0,
                    options_.nesterov, /*maximize=*/false, /*is_first_step=*/false);
  else
    at::_fused_adamw_(tensors, gradients, first, second, squares_max, steps, rate, options_.beta1,
                      options_.beta2, decay, options_.epsilon, /*amsgrad=*/false, /*maximize=*/false);
}

void Optimiser::clear_gradients() {
  for (Parameter& p : parameters_) p.tensor.mutable_grad() = at::Tensor();
}

void Optimiser::restore(const State& state, std::int64_t steps) {
  const c10::NoGradGuard no_grad;
  for (auto& [kind, tensors] : state_)
    for (auto& [name, tensor] : tensors) {
      const at::Tensor& saved = state.at(kind).at(name);
      POLLARD_CHECK(saved.sizes() == tensor.sizes(),
                    "the optimiser's " + kind + " of " + name + " does not fit");
      tensor.copy_(saved);
    }
  steps_ = steps;
}

}  // namespace pollard::training
