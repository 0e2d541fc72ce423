// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace pollard::kernels {

class Lowering;

/// Lowering rule: a product with a Monarch matrix of constant factors, two einsums or two batched products with their
/// permutations, becomes pollard::packed_monarch, for a CUDA device pollard::monarch. Returns how many places it changed.
std::size_t pack_monarchs(Lowering& l);

}  // namespace pollard::kernels
