// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace pollard::models {

/// GeluTanh is transformers' "gelu_new"; Gelu is the erf form.
enum class Activation : std::uint8_t { Relu, Relu6, Gelu, GeluTanh, Silu, Tanh, Sigmoid, Identity };

/// "relu", "relu6", "gelu", "gelu_new" / "gelu_pytorch_tanh", "silu" / "swish", "tanh", "sigmoid",
/// "identity". Throws UserError E0414 for any other name.
Activation activation_from_name(std::string_view name);
at::Tensor activate(const at::Tensor& x, Activation activation);

/// Dropout that a probability of 0 leaves out of the program.
at::Tensor dropped(const at::Tensor& x, double p, bool train);

/// Stochastic depth: in train mode drops whole samples (dim 0) with probability p and scales the rest by
/// 1/(1-p). Otherwise returns x itself and records nothing.
at::Tensor drop_path(const at::Tensor& x, double p, bool train);

}  // namespace pollard::models
