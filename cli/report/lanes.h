// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace pollard::cli::report {

/// A drawing of a graph whose nodes come in an order that respects its edges: node i sits in row i, and what it makes
/// runs down a lane of its own until the last node that reads it. Lanes are given back and used again, so a chain
/// stays in one lane and a residual branch takes a second. Linear in nodes and edges, but for the choice of the
/// leftmost free lane (a heap).
struct Lanes {
  std::vector<std::int32_t> lane;  ///< by node
  std::int32_t count = 0;          ///< lanes used
};

/// `reads`: by node, the earlier nodes it reads.
Lanes assign_lanes(const std::vector<std::vector<std::int32_t>>& reads);

}  // namespace pollard::cli::report
