// SPDX-License-Identifier: Apache-2.0
#include "pruning/memory_needs.h"

#include <algorithm>

#include "graph/cost.h"
#include "graph/saturating.h"

namespace pollard::pruning {
namespace {

using graph::plus;
using graph::times;

std::int64_t elements(const graph::Dependencies& d, graph::ValueId value, const graph::Widths& widths) {
  std::int64_t out = 1;
  for (const graph::TermId term : d[value].dims) out = times(out, graph::size_at(d, term, widths));
  return out;
}

}  // namespace

MemoryNeeds memory_needs(const graph::Program& program, const graph::Dependencies& d,
                         const graph::Removal& removal) {
  const std::int64_t wide = graph::dtype_size(graph::DType::Float64);
  const graph::Widths full = graph::full_widths(d), kept = removal.widths(d);
  MemoryNeeds needs;
  for (const graph::Input& input : program.inputs) {
    if (input.constant || input.kind == graph::Input::Kind::User || !input.tied_to.empty()) continue;
    const graph::DType type = program[input.value].dtype;
    const bool shrinks = std::ranges::any_of(
        d[input.value].dims, [&](graph::TermId term) { return graph::touched(d, term, removal); });
    const bool widened = graph::is_floating(type) && type != graph::DType::Float64;
    const std::int64_t before = elements(d, input.value, full), after = elements(d, input.value, kept);
    if (shrinks) needs.slices = plus(needs.slices, times(after, graph::dtype_size(type)));
    if (widened) needs.proof = plus(needs.proof, times(plus(before, after), wide));
  }
  const graph::Cost cost = graph::CostModel(program, d).evaluate(full);
  needs.proof = plus(needs.proof, cost.peak_activation_bytes);
  return needs;
}

}  // namespace pollard::pruning
