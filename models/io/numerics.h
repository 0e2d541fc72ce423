// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace pollard::models::io {

/// How many elements of a tensor are not numbers one can sort or prune by.
struct NonFinite {
  std::int64_t nan = 0;
  std::int64_t infinite = 0;
  bool any() const { return nan + infinite > 0; }
};

/// Counts NaN and infinite elements; zero for types that have none. Any device, any strides.
NonFinite count_nonfinite(const at::Tensor& tensor);

/// Throws E0350 (Exit::BadFile) when `tensor` has NaN or infinite elements, naming how many and where the
/// first is.
void check_numerics(const std::string& name, const at::Tensor& tensor);

}  // namespace pollard::models::io
