// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

namespace pollard::kernels {

/// The sub-tensor of the given ascending indices, dimension by dimension; dimensions not named are whole. Byte
/// slices, no arithmetic, any dtype; runs of kept elements are copied at once.
/// Result: contiguous, shape [.., kept[d].size(), ..].
at::Tensor slice_gather(const at::Tensor& tensor,
                        const std::map<std::int64_t, std::vector<std::int64_t>>& kept);

}  // namespace pollard::kernels
