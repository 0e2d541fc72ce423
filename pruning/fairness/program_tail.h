// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "graph/dependencies.h"
#include "graph/program.h"
#include "graph/removal.h"

namespace pollard::pruning::fairness {

/// The rest of a program from one op on: all that has to run again when nothing before that op has changed.
///
///     inputs -> op 0 -> ... -> op f-1 | op f -> ... -> outputs
///                  computed once      | the tail, given the tensors that cross the line
///
/// Value ids are the whole program's, so everything the analysis knows of them stays true. Ops before the line that
/// only compute sizes are part of the tail: sizes do not cross it.
struct ProgramTail {
  graph::Program program;
  std::vector<std::size_t> ops;       ///< the whole program's index of each op of the tail
  std::vector<graph::ValueId> given;  ///< what the tail's user inputs are, in order
};
ProgramTail tail_from(const graph::Program& program, std::size_t first_op);

/// The first op in which removed units can change anything but themselves: what it makes lacks their dimension (a
/// contraction), or one of its inputs has it twice (a square weight), or it is a reduction that the masked original
/// redefines. Ops before it compute every unit apart, so that their values without some units are the whole network's.
std::size_t first_mixing_op(const graph::Program& program, const graph::Dependencies& dependencies,
                            const graph::Removal& removal);

}  // namespace pollard::pruning::fairness
