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

/// The same as an operator of the dispatcher, one tensor [size(d)] in f64 on the weight's device for every dimension; with
/// gradients, which the sums above do not have, in ATen's operators:
///
///     pollard::slab_power_sums(Tensor weight, int[] dims, float p) -> Tensor[]
///
/// It has no row in the op table: it judges weights before a network runs and never stands in one. A dimension the weight
/// does not have, or p <= 0: ValueError.
std::vector<at::Tensor> slab_power_sums_by_aten(const at::Tensor& weight, at::IntArrayRef dims, double p);

}  // namespace pollard::kernels
