// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace pollard::pruning {

/// The largest |after - before| / |before| (Frobenius norms) over floating-point outputs.
double relative_change(const std::vector<at::Tensor>& before, const std::vector<at::Tensor>& after);

}  // namespace pollard::pruning
