// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace pollard::kernels {

/// The largest value of every window of a map [N, C, H, W]; a NaN within a window is its result, as in torch.nn.MaxPool2d.
///
///     pollard::max_pool2d(Tensor input, int[2] kernel_size, int[2] stride, int[2] padding, int[2] dilation) -> Tensor
///
/// What lowering makes of ATen's operator, whose kernel also finds where in its window each value stood. Single precision on a
/// CPU with channels innermost runs here, a vector of channels at a time, and the result has channels innermost; everything
/// else in ATen's. Without gradients: lowered programs have none.
at::Tensor max_pool(const at::Tensor& input, at::IntArrayRef kernel, at::IntArrayRef stride,
                    at::IntArrayRef padding, at::IntArrayRef dilation);

/// For tests: the kernel in a given instruction set the processor has ("avx512", "avx2", "portable"); channels innermost.
at::Tensor max_pool_with(const char* instruction_set, const at::Tensor& input, at::IntArrayRef kernel,
                         at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation);

}  // namespace pollard::kernels
