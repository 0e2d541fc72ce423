// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace pollard::kernels {

/// Convolutions whose window is one place (1 x 1), of maps [N, C, H, W] with channels innermost in single precision on a
/// CPU: the channels of every place times a matrix.
///
///     pollard::packed_pointwise(Tensor input, Tensor weight, Tensor? bias, Tensor? other, int outputs, int[2] stride,
///                               bool relu) -> Tensor
///         relu(conv2d(input) + bias + other) [N, outputs, H', W'], channels innermost
///     pollard::packed_pointwise_(..) writes its result into `other`
///
/// What lowering makes of such a layer where it pays. A layer of few inputs has little arithmetic for the memory that its
/// results, and the map that is added to them, take: this kernel asks for the memory of its next results while it computes,
/// which oneDNN does not. `weight` is as pack_pointwise_weight() made it on this processor; no gradients.
at::Tensor pack_pointwise_weight(const at::Tensor& weight);  ///< [outputs, inputs] or [outputs, inputs, 1, 1]

/// Whether the kernel is faster than oneDNN's for a result of `places` N H' W': measured on a Zen 4 with AVX-512 vectors,
/// 64 to 2048 inputs and 49 places and more (docs/performance.md). What lies outside is left to oneDNN.
bool pointwise_pays(std::int64_t places, std::int64_t inputs, std::int64_t outputs);

/// For tests: the kernel in a given instruction set the processor has ("avx512", "avx2", "portable"), the weight not packed.
at::Tensor pointwise_with(const char* instruction_set, const at::Tensor& input, const at::Tensor& weight,
                          const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& other,
                          at::IntArrayRef stride, bool relu);

}  // namespace pollard::kernels
