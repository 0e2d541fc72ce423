// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "graph/coupling_graph.h"

namespace pollard::graph::testing {

/// A connected component of the couplings is one axis, and a prunable axis is one component.
inline void expect_groups_are_components(const Program& program, const Dependencies& d) {
  const CouplingGraph couplings(program, d);
  const std::vector<int> component = couplings.components();
  std::map<AxisIndex, int> of_axis;
  std::map<int, AxisIndex> of_component;
  for (std::size_t v = 0; v < component.size(); ++v) {
    const AxisIndex axis = couplings.vertices()[v].axis;
    EXPECT_EQ(of_component.emplace(component[v], axis).first->second, axis);
    if (d.axes[static_cast<std::size_t>(axis)].prunable())
      EXPECT_EQ(of_axis.emplace(axis, component[v]).first->second, component[v]);
  }
}

}  // namespace pollard::graph::testing
