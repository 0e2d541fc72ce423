// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/program.h"

namespace pollard::models {

/// Without the ops that only check (_assert_scalar, _assert_tensor_metadata, sym_constrain_range) and what is computed for
/// them alone: formats that other programs run have no use for them.
graph::Program without_checks(graph::Program program);

}  // namespace pollard::models
