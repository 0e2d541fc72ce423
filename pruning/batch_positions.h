// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/program.h"

namespace pollard::pruning {

/// A program exported with a fixed batch may count its samples (`arange`) to look up something that is the same for each of
/// them: a causal mask, written as mask[sample, query, key]. In `longer`, the `program` at another batch size (pruning/rewrite.h,
/// resize), such counts become the first sample's position for every sample; ops and values keep their places. What is
/// computed from the counts alone must come out alike for all samples in `program`, and the same in `longer`: both are
/// computed and compared. Throws UserError E0391 when that is not so.
void repeat_first_position(graph::Program& longer, const graph::Program& program);

}  // namespace pollard::pruning
