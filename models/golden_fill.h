// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace pollard::models {

/// Tensors that are pure functions of a name and a shape, bit-equal in every language, so that reference
/// outputs can be compared without storing weights (i is the row-major flat index):
///     seed = FNV-1a-64(name);  z_i = splitmix64(seed + (i+1) * 0x9E3779B97F4A7C15)
///     u_i  = (z_i >> 40) * 2^-23 - 1                                                 (in [-1, 1))
/// All results are contiguous CPU tensors.

/// A parameter or BatchNorm statistic, float32: rank >= 2: u / sqrt(numel / shape[0]); otherwise by the last
/// name component: running_var 1 + 0.5|u|; weight, gamma, scale, g 1 + 0.1u; anything else 0.1u.
at::Tensor golden_parameter(std::string_view key, at::IntArrayRef shape);
/// u itself, float32.
at::Tensor golden_unit(std::string_view name, at::IntArrayRef shape);
/// z_i >> 33 modulo `vocabulary`, int64.
at::Tensor golden_ids(std::string_view name, at::IntArrayRef shape, std::int64_t vocabulary);

}  // namespace pollard::models
