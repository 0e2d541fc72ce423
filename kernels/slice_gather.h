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

/// The same as an operator of the dispatcher, kept[k] (int64, ascending, on a CPU) along dims[k]; with gradients in ATen's
/// index_select:
///
///     pollard::slice_gather(Tensor tensor, int[] dims, Tensor[] kept) -> Tensor
///
/// It has no row in the op table: it makes a network's weights smaller before the network runs and never stands in one.
/// Dimensions or indices that do not exist, or indices that do not ascend: ValueError.
at::Tensor slice_gather_by_aten(const at::Tensor& tensor, at::IntArrayRef dims, at::TensorList kept);

}  // namespace pollard::kernels
