// SPDX-License-Identifier: Apache-2.0
#include "models/layers/activation.h"

#include <ATen/ops/dropout.h>
#include <ATen/ops/feature_dropout.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/hardtanh.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tanh.h>

#include <array>
#include <string>

#include "graph/error.h"

namespace pollard::models {
namespace {

struct Named {
  std::string_view name;
  Activation activation;
};
constexpr std::array<Named, 10> kNames{{{"relu", Activation::Relu},
                                        {"relu6", Activation::Relu6},
                                        {"gelu", Activation::Gelu},
                                        {"gelu_new", Activation::GeluTanh},
                                        {"gelu_pytorch_tanh", Activation::GeluTanh},
                                        {"silu", Activation::Silu},
                                        {"swish", Activation::Silu},
                                        {"tanh", Activation::Tanh},
                                        {"sigmoid", Activation::Sigmoid},
                                        {"identity", Activation::Identity}}};

}  // namespace

Activation activation_from_name(std::string_view name) {
  for (const Named& known : kNames)
    if (known.name == name) return known.activation;
  throw UserError({.code = "E0414",
                   .exit = Exit::Unsupported,
                   .subject = std::string(name),
                   .message = "is not an activation this version knows",
                   .where = "model specification",
                   .why = {},
                   .help = "known: relu, relu6, gelu, gelu_new, silu, tanh, sigmoid, identity"});
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::Relu: return at::relu(x);
    case Activation::Relu6: return at::hardtanh(x, 0, 6);
    case Activation::Gelu: return at::gelu(x);
    case Activation::GeluTanh: return at::gelu(x, "tanh");
    case Activation::Silu: return at::silu(x);
    case Activation::Tanh: return at::tanh(x);
    case Activation::Sigmoid: return at::sigmoid(x);
    case Activation::Identity: return x;
  }
  POLLARD_CHECK(false, "activation");
}

at::Tensor dropped(const at::Tensor& x, double p, bool train) { return p > 0 ? at::dropout(x, p, train) : x; }

at::Tensor drop_path(const at::Tensor& x, double p, bool train) {
  if (!train || p == 0) return x;
  // feature_dropout keeps or drops all of [n, c, ...] at once: with a leading 1, c is the sample.
  return at::feature_dropout(x.unsqueeze(0), p, true).squeeze(0);
}

}  // namespace pollard::models
