// SPDX-License-Identifier: Apache-2.0
// A layer that runs over its tokens from the last to the first is written as the layer between two flips. Everything in it
// that looks at one token alone does not care; the kernels that look at several read backwards themselves.
#include <algorithm>
#include <set>

#include "kernels/lowering/mlstm_cell.h"
#include "kernels/lowering/state.h"

namespace pollard::kernels {
namespace {

using graph::Op;
using graph::ValueId;

/// What a flip of the tokens of [B, S, width] read.
std::optional<ValueId> unflipped(const Lowering& l, const Op& op) {
  const auto from = op.base_name() == "flip" ? op.tensor("self") : std::nullopt;
  const auto dims = from ? numbers(op, "dims", 1, 0) : std::nullopt;
  const bool tokens = dims && l.value(*from).shape.size() == 3 && (dims->at(0) == 1 || dims->at(0) == -2);
  return tokens ? from : std::nullopt;
}

/// The tokens an op reads, if it takes tokens [B, S, ..] to tokens in the same order or can be told their order.
std::vector<ValueId> tokens_of(Lowering& l, const Op& op) {
  const std::string_view base = op.base_name();
  if (base == "linear" && l.float_constant(*op.tensor("weight"))) return {*op.tensor("input")};
  if (op.target == "pollard.packed_causal_conv1d.default") return {*op.tensor("input")};
  if (op.target == "pollard.packed_mlstm_cell.default")
    return {*op.tensor("c"), *op.tensor("x"), *op.tensor("z")};
  if (base == "chunk" || base == "split") {
    const ValueId from = *op.tensor("self");
    const std::int64_t dim = op.int_or("dim", 0);
    if (l.value(from).shape.size() == 3 && (dim == 2 || dim == -1)) return {from};
  }
  return {};
}

/// The ops between flips, and those flips, before the flip at `last`.
struct Region {
  std::size_t last;
  std::set<std::size_t> inside, flips;
};

/// Whether the value is computed, token by token, from flipped tokens alone.
bool grow(Lowering& l, ValueId value, Region& region) {
  const auto maker = l.uses().maker(value);
  if (!maker) return false;
  if (region.inside.contains(*maker) || region.flips.contains(*maker)) return true;
  const Op& op = l.op(*maker);
  if (unflipped(l, op)) return region.flips.insert(*maker).second;
  const std::vector<ValueId> tokens = tokens_of(l, op);
  region.inside.insert(*maker);
  return !tokens.empty() && std::ranges::all_of(tokens, [&](ValueId id) { return grow(l, id, region); });
}

/// Whether nobody outside sees what is computed inside.
bool closed(const Lowering& l, const Region& region) {
  return std::ranges::all_of(region.inside, [&](std::size_t index) {
    return std::ranges::all_of(l.program.ops[index].outputs, [&](ValueId made) {
      return !l.uses().is_output(made) &&
             std::ranges::all_of(l.uses().readers(made), [&](std::size_t reader) {
               return reader == region.last || region.inside.contains(reader);
             });
    });
  });
}

/// The flips before may have other readers: these keep them.
void turn_round(Lowering& l, const Region& region) {
  for (std::size_t index : region.inside) {
    Op& op = l.op(index);
    if (op.find("backwards")) op.set("backwards", !op.bool_or("backwards", false));
    for (std::size_t flip : region.flips)
      for (graph::NamedArg& named : op.args)
        if (named.arg == graph::Arg(l.op(flip).outputs[0])) named.arg = *unflipped(l, l.op(flip));
  }
  graph::replace_uses(l.program, l.op(region.last).outputs[0], *l.op(region.last).tensor("self"),
                      region.last + 1);
}

bool turn_one(Lowering& l) {
  for (std::size_t i = 0; i < l.program.ops.size(); ++i) {
    const auto from = unflipped(l, l.op(i));
    Region region{.last = i, .inside = {}, .flips = {}};
    if (!from || !grow(l, *from, region) || region.inside.empty() || !closed(l, region)) continue;
    turn_round(l, region);
    return true;
  }
  return false;
}

}  // namespace

std::size_t read_backwards(Lowering& l) {
  std::size_t places = 0;
  for (; turn_one(l); ++places) l.settle();
  return places;
}

}  // namespace pollard::kernels
