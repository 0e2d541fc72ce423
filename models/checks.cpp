// SPDX-License-Identifier: Apache-2.0
#include "models/checks.h"

#include "graph/program_edit.h"

namespace pollard::models {

graph::Program without_checks(graph::Program program) {
  std::erase_if(program.ops, [](const graph::Op& op) {
    const std::string_view base = op.base_name();
    return base.starts_with("_assert_") || base.starts_with("sym_constrain_range");
  });
  graph::remove_dead_ops(program);
  return program;
}

}  // namespace pollard::models
