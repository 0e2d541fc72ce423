// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "graph/program.h"

namespace pollard::kernels {

/// "aten.add.Tensor" in its parts. The overload is "" for "default", as the dispatcher wants it.
struct OpName {
  std::string space, base, overload;
  /// "aten::add": the dispatcher's form of space and base.
  std::string qualified() const { return space + "::" + base; }
};
OpName parse_op_name(std::string_view target);

/// Arithmetic on sizes and flags ("_operator.mul", "math.trunc", "torch.sym_max"): no dispatcher op.
bool is_scalar_op(std::string_view target);

/// Throws UserError E0410, naming op and node, when the op may not run.
void require_allowed(const graph::Op& op);

}  // namespace pollard::kernels
