// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "graph/program.h"
#include "kernels/op_call.h"

namespace pollard::kernels {

/// For each Program::inputs entry whether running the program as written may write to its memory: an in-place op
/// touches the input itself or a possible view of it. Errs on the side of yes.
/// `training`: batch norm in training mode updates its running statistics although its schema does not say so.
std::vector<bool> written_inputs(const graph::Program& program, const std::vector<OpCall>& calls,
                                 bool training);

}  // namespace pollard::kernels
