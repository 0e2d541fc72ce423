// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

namespace pollard::kernels {

/// Whether what is computed from the tensor must be differentiable: own kernels without a backward pass stand aside then.
inline bool follows_gradients(const at::Tensor& t) { return at::GradMode::is_enabled() && t.requires_grad(); }

}  // namespace pollard::kernels
