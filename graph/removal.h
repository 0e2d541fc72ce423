// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "graph/dependencies.h"

namespace pollard::graph {

/// How many units every axis keeps; the input of all cost functions.
using Widths = std::vector<std::int64_t>;  // by AxisIndex
Widths full_widths(const Dependencies& dependencies);
/// Length of a term when its axes have these widths.
std::int64_t size_at(const Dependencies& dependencies, TermId term, const Widths& widths);

/// Which units go: for every axis the sorted indices that are removed.
struct Removal {
  std::vector<std::vector<std::int64_t>> removed;  ///< by AxisIndex

  explicit Removal(const Dependencies& dependencies) : removed(dependencies.axes.size()) {}
  bool empty() const;
  Widths widths(const Dependencies& dependencies) const;
};

/// Flat indices of a dimension that survive, ascending.
std::vector<std::int64_t> kept_indices(const Dependencies& dependencies, TermId term, const Removal& removal);
/// For every flat index of a term, which unit of `axis` covers it, or -1 (a sum's other segments). An axis that occurs
/// more than once in a product yields the unit of its last occurrence where they differ.
std::vector<std::int64_t> unit_of_index(const Dependencies& dependencies, TermId term, AxisIndex axis);
/// Whether any axis of the term loses units.
bool touched(const Dependencies& dependencies, TermId term, const Removal& removal);

}  // namespace pollard::graph
