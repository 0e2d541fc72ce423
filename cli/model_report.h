// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/context.h"
#include "graph/cost.h"
#include "graph/dependencies.h"
#include "models/model.h"

namespace pollard::cli {

/// A group as people look at it.
struct GroupView {
  std::string id;
  graph::AxisIndex axis = -1;
  std::int64_t units = 0;
  std::int64_t parameters = 0;  ///< that would go with the whole group
  std::int64_t macs = 0;        ///< that would go with the whole group
  bool renormalised = false;
  graph::Role role = graph::Role::Unit;
  std::vector<graph::Member> members;
};
/// All groups in program order. Sizes come from the cost polynomials with the group's width set to 0.
std::vector<GroupView> group_views(const graph::Program& program, const graph::Dependencies& dependencies);

/// "layer1.0.conv1.weight:0": a member by its state-dict name and dimension.
std::string member_name(const graph::Program& program, const graph::Member& member);

Table group_table(const std::vector<GroupView>& groups, const graph::Program& program);
/// Members of one group: shape, dimension, term, rows of the dimension per unit.
Table member_table(const GroupView& group, const graph::Program& program,
                   const graph::Dependencies& dependencies);
/// Stored dimensions that may not shrink, with the reason.
Table frozen_table(const graph::Program& program, const graph::Dependencies& dependencies);
Table tensor_table(const models::Model& model, const graph::Dependencies& dependencies);

Json groups_json(const std::vector<GroupView>& groups, const graph::Program& program,
                 const graph::Dependencies& dependencies);
/// Every frozen axis: size, reason, the op that froze it, and the parameter dimensions that mention it.
Json frozen_json(const graph::Program& program, const graph::Dependencies& dependencies);
Json tensors_json(const models::Model& model, const graph::Dependencies& dependencies);

}  // namespace pollard::cli
