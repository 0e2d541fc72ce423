// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace pollard::kernels {

class Lowering;

/// Lowering rule: aten::scaled_dot_product_attention over [B, heads, ., .] in single precision, without dropout and grouped
/// heads, becomes pollard::masked_attention with all heads open. Returns how many places it changed.
std::size_t fuse_attention(Lowering& l);

}  // namespace pollard::kernels
