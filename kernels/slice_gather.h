// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

#include "kernels/block_memory.h"

namespace pollard::kernels {

/// The sub-tensor of the given ascending indices, dimension by dimension; dimensions not named are whole. Byte
/// slices, no arithmetic, any dtype; runs of kept elements are copied at once.
/// Result: contiguous, shape [.., kept[d].size(), ..], on the tensor's device; on a CPU in `memory`.
at::Tensor slice_gather(const at::Tensor& tensor,
                        const std::map<std::int64_t, std::vector<std::int64_t>>& kept, BlockMemory& memory);

/// The same into `out`, which has room for it. `tensor` is contiguous and on a CPU, `kept` not empty.
void slice_gather_into(const at::Tensor& tensor,
                       const std::map<std::int64_t, std::vector<std::int64_t>>& kept, char* out);

}  // namespace pollard::kernels
