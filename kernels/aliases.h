// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "graph/program.h"
#include "kernels/op_call.h"

namespace pollard::kernels {

/// Sets of values that may share memory.
class AliasSets {
 public:
  explicit AliasSets(std::size_t count);  ///< every value alone
  std::size_t find(graph::ValueId id);
  void join(graph::ValueId a, graph::ValueId b) { parent_[find(a)] = find(b); }
  bool alone(graph::ValueId id);

 private:
  std::vector<std::size_t> parent_;
};

/// Values joined by views and by ops that may return their argument. What an in-place op returns is a value of its own
/// here: joining it is left to the caller. Errs on the side of joining.
AliasSets view_sets(const graph::Program& program);

/// For each Program::inputs entry whether running the program as written may write to its memory: an in-place op
/// touches the input itself or a possible view of it. Errs on the side of yes.
/// `training`: batch norm in training mode updates its running statistics although its schema does not say so.
std::vector<bool> written_inputs(const graph::Program& program, const std::vector<OpCall>& calls,
                                 bool training);

}  // namespace pollard::kernels
