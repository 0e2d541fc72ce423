// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "graph/program.h"

namespace pollard::models {

/// A decoder's program for the next tokens alone: what attention needs of the earlier ones comes in and goes out.
///
///     inputs   ids [B, t], then key and value of every attention, [B, heads, T, d]; T = 0 at first
///     outputs  logits [B, t, V], then the same keys and values, [B, heads, T + t, d]
struct StepProgram {
  graph::Program program;
  std::size_t attentions = 0;
};

/// Makes it out of any program that maps ids [B, L] to logits [B, L, V] through causal attention: captured or
/// exported, dense or pruned. Values that depend on the length alone (positions, rotary tables, masks) are made for
/// all T + t positions, and the new positions' rows cut from them where they meet the tokens; keys and values are
/// appended to the earlier ones. Whether an op mixes positions in another way is not looked at: compare one
/// continuation with the whole program (models/generate.h does). Throws UserError E0450 when inputs or outputs are
/// others, E0451 when an attention is not causal or its mask depends on the tokens.
StepProgram make_step_program(const graph::Program& whole);

/// Throws E0450 unless the program maps ids [B, L] to logits [B, L, V]; returns the logits.
graph::ValueId check_language_model(const graph::Program& program);

}  // namespace pollard::models
