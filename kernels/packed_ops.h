// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace pollard::kernels {

/// Layers whose weights oneDNN has put into its own order once. LibTorch contains oneDNN; its dispatcher is the road
/// there. The packed weight is an opaque tensor that only these operators read:
///
///     pollard::packed_linear(Tensor input, Tensor weight, Tensor? bias, Tensor? other, str activation) -> Tensor
///         activation(input [.., i] W^T + bias + other [.., o])
///     pollard::packed_conv2d(Tensor input, Tensor weight, Tensor? bias, Tensor? other, int[] stride,
///                            int[] padding, int[] dilation, int groups, str activation) -> Tensor
///         activation(conv2d(input) + bias + other), input [N, C, H, W] in either layout
///     pollard::packed_conv2d_(..) writes its result into `other`
///
/// f32 or bf16, as the weight was packed; CPU, no gradients. `activation` is one of packed_activations(); with `other` only of
/// packed_sum_activations().
struct ConvSizes {
  std::vector<std::int64_t> stride, padding, dilation;
  std::int64_t groups = 1;
};

/// weight [o, i], for inputs of about `rows` rows.
at::Tensor pack_linear_weight(const at::Tensor& weight, std::int64_t rows);
/// weight [o, i / groups, kh, kw], for inputs of about this shape [N, C, H, W].
at::Tensor pack_conv2d_weight(const at::Tensor& weight, const ConvSizes& sizes,
                              const std::vector<std::int64_t>& input_shape);

/// "none", "relu", "gelu", "gelu_tanh", "sigmoid", "tanh", "silu", "hardswish", "hardsigmoid", "relu6".
bool is_packed_activation(std::string_view name);

}  // namespace pollard::kernels
