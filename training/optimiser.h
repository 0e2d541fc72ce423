// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pollard::training {

struct OptimiserOptions {
  enum class Kind : std::uint8_t { Sgd, AdamW };
  Kind kind = Kind::Sgd;
  double momentum = 0.9;  ///< Sgd
  bool nesterov = false;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< AdamW
  double weight_decay = 0;
};

/// SGD with momentum and AdamW (Loshchilov and Hutter, ICLR 2019), with LibTorch's fused kernels and PyTorch's
/// arithmetic. All of its state is tensors of the parameters' shapes under the parameters' names, so that it can be
/// saved, and sliced with the weights when units are pruned.
class Optimiser {
 public:
  struct Parameter {
    std::string name;
    at::Tensor tensor;  ///< updated in place from its grad(); left alone where that is undefined
    bool decay = true;  ///< whether weight decay applies
  };
  Optimiser(OptimiserOptions options, std::vector<Parameter> parameters);

  void step(double rate);
  void clear_gradients();

  /// What is remembered, by kind ("momentum"; "mean", "square") and parameter name.
  using State = std::map<std::string, std::map<std::string, at::Tensor>>;
  const State& state() const { return state_; }
  std::int64_t steps() const { return steps_; }
  /// Takes up a run where it stopped; tensors are copied. Throws InternalError when a shape differs.
  void restore(const State& state, std::int64_t steps);

  const std::vector<Parameter>& parameters() const { return parameters_; }

 private:
  void step(double rate, bool decayed);

  OptimiserOptions options_;
  std::vector<Parameter> parameters_;
  State state_;
  std::int64_t steps_ = 0;
};

}  // namespace pollard::training
