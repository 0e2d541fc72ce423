// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "graph/removal.h"

namespace pollard::pruning {

/// Bytes that pruning takes beside the network itself, known from shapes alone before any of them is taken. No more than
/// what is really taken: a network that just fits is not refused.
struct MemoryNeeds {
  std::int64_t slices = 0;  ///< prune(): weights that lose units, at their new sizes; the others are shared
  std::int64_t proof = 0;   ///< verify(): both networks' weights in double, the worst moment's activations
};

MemoryNeeds memory_needs(const graph::Program& program, const graph::Dependencies& dependencies,
                         const graph::Removal& removal);

}  // namespace pollard::pruning
