// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pruning/plan.h"

namespace pollard::pruning {

/// Axes that lose units together: one group, or several whose counts are tied (the layers and directions of one LSTM
/// call), each member with its own choice of units.
struct Class {
  std::vector<std::int32_t> groups;         ///< indices into Dependencies::groups
  std::vector<graph::AxisIndex> followers;  ///< unstored axes of the same tie (zero initial states)
  std::int64_t size = 0;                    ///< units of each
  std::int64_t removable = 0;               ///< at most this many may go, floors respected
  std::int64_t first_step = 1, step = 1;    ///< units go in these steps so that widths stay multiples
  std::optional<double> ratio;              ///< a share of its own (heads, head dims, --layer)
  std::string kept_whole;                   ///< why it takes no part
  bool takes_part() const { return kept_whole.empty() && removable > 0; }
};

/// The most units not above `units` that the class can lose in its steps.
std::int64_t whole_steps(const Class& c, std::int64_t units);

/// How far a class may shrink under the floors of the options when its widths stay multiples of `multiple`, and why it
/// takes no part when it cannot.
void set_limits(Class& c, const PlanOptions& options, std::int64_t multiple);

/// The classes of all groups under the options: who takes part, how far each may shrink, and why not.
std::vector<Class> classes_of(const models::Model& model, const graph::Dependencies& dependencies,
                              const PlanOptions& options);

/// Shell-style match of a whole name: * any run, ? one character.
bool glob_match(std::string_view pattern, std::string_view name);

}  // namespace pollard::pruning
