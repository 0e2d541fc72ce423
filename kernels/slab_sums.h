// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace pollard::kernels {

/// For every dimension d in `dims`: out[k][i] = sum of |w|^p over all entries whose index along dims[k] is i, in f64.
/// One pass over the weights for dimensions 0 and 1 (what linear and convolution weights need). The order of
/// summation is fixed, so the result is the same bit for bit for any number of threads.
std::vector<std::vector<double>> slab_power_sums(const at::Tensor& weight, std::span<const std::int64_t> dims,
                                                 double p);

}  // namespace pollard::kernels
