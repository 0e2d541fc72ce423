// SPDX-License-Identifier: Apache-2.0
// Ops that only rearrange dimensions.
#include <algorithm>
#include <array>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

void keep_constant(RuleContext& c) {
  const ValueFacts& in = c.facts(c.id("self"));
  if (in.uniform) c.set_uniform(0, in.zero);
}

// A view reads the same elements in the same order: the products of both shapes are one term.
void apply_view(RuleContext& c, const OpRule&) {
  if (c.op().target.ends_with(".dtype")) return c.give_up(FreezeWhy::UnknownOp);
  const ValueTerms& x = c.in("self");
  std::vector<TermId> out = c.fresh(c.out_value());
  c.unify(c.terms().product(x.dims), c.terms().product(out));
  c.set(0, std::move(out), x.nonvanishing);
  keep_constant(c);
}

void apply_view_as(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const ValueTerms& other = c.in("other");
  c.unify(c.terms().product(x.dims), c.terms().product(other.dims));
  c.set(0, other.dims, x.nonvanishing);
}

// The size list of a view or expand; `expand` and `view` name it differently across overloads.
void rewrite_size(RewriteContext& c) {
  const char* name = c.op().find("size") ? "size" : "shape";
  c.resize_list(name, c.out_terms());
}

void rewrite_unflatten(RewriteContext& c) {
  const std::size_t dim = c.wrap(c.op().int_or("dim", 0), c.terms("self").size());
  const Arg* given = c.op().find("sizes");
  const auto* sizes = given ? given->as<Arg::List>() : nullptr;
  const std::span<const TermId> rest = std::span(c.out_terms()).subspan(std::min(dim, c.out_terms().size()));
  const auto parts = rest.first(std::min(rest.size(), sizes ? sizes->size() : 0));
  c.resize_list("sizes", {parts.begin(), parts.end()});
}

void apply_squeeze(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const std::vector<std::size_t> wanted = c.dims("dim", x.dims.size());
  std::vector<TermId> out;
  for (std::size_t d = 0; d < x.dims.size(); ++d)
    if (c.size(x.dims.at(d)) != 1 || std::ranges::count(wanted, d) == 0) out.push_back(x.dims.at(d));
  c.set(0, std::move(out), x.nonvanishing);
  keep_constant(c);
}

void apply_unsqueeze(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  std::vector<TermId> out = x.dims;
  const std::size_t at = c.wrap(c.op().int_or("dim", 0), x.dims.size() + 1);
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(at), c.fresh(1));
  c.set(0, std::move(out), x.nonvanishing);
  keep_constant(c);
}

void reorder(RuleContext& c, const std::vector<std::size_t>& order) {
  const ValueTerms& x = c.in("self");
  if (order.size() != x.dims.size()) c.malformed("a permutation of another rank");
  std::vector<TermId> out;
  for (std::size_t d : order) out.push_back(x.dims.at(d));
  c.set(0, std::move(out), x.nonvanishing);
  keep_constant(c);
}

void apply_permute(RuleContext& c, const OpRule&) { reorder(c, c.dims("dims", c.rank("self"))); }

void swap_dims(RuleContext& c, std::int64_t a, std::int64_t b) {
  const std::size_t rank = c.rank("self");
  std::vector<std::size_t> order(rank);
  for (std::size_t d = 0; d < rank; ++d) order[d] = d;
  if (rank > 0) std::swap(order.at(c.wrap(a, rank)), order.at(c.wrap(b, rank)));
  reorder(c, order);
}

void apply_transpose(RuleContext& c, const OpRule&) {
  const auto pick = [&](const char* first, const char* second) {
    return c.op().find(first) ? c.op().int_or(first, 0) : c.op().int_or(second, 0);
  };
  swap_dims(c, pick("dim0", "axis0"), pick("dim1", "axis1"));
}

void apply_t(RuleContext& c, const OpRule&) {
  if (c.rank("self") < 2)
    return reorder(c, c.rank("self") ? std::vector<std::size_t>{0} : std::vector<std::size_t>{});
  swap_dims(c, -2, -1);
}

void apply_reverse_dims(RuleContext& c, const OpRule&) {
  std::vector<std::size_t> order;
  for (std::size_t d = c.rank("self"); d-- > 0;) order.push_back(d);
  reorder(c, order);
}

void apply_movedim(RuleContext& c, const OpRule&) {
  const std::size_t rank = c.rank("self");
  const std::vector<std::size_t> from = c.dims("source", rank), to = c.dims("destination", rank);
  std::vector<std::size_t> order(rank, rank), rest;
  for (std::size_t i = 0; i < from.size(); ++i) order.at(to.at(i)) = from[i];
  for (std::size_t d = 0; d < rank; ++d)
    if (std::ranges::count(from, d) == 0) rest.push_back(d);
  if (std::ranges::count(order, rank) != std::ssize(rest)) c.malformed("a dimension is moved twice");
  for (auto next = rest.begin(); std::size_t & slot : order)
    if (slot == rank) slot = *next++;
  reorder(c, order);
}

void apply_expand(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  std::vector<TermId> out = c.fresh(c.out_value());
  c.broadcast(out, x.dims);
  c.set(0, std::move(out), x.nonvanishing);
  keep_constant(c);
}

void apply_expand_as(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  std::vector<TermId> out = c.in("other").dims;
  c.broadcast(out, x.dims);
  c.set(0, std::move(out), x.nonvanishing);
}

// repeat(r) of length n: position k*n + i reads i, so the result is r x n.
void apply_repeat(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const Value& out = c.out_value();
  std::vector<TermId> dims;
  const std::size_t missing = out.shape.size() - std::min(out.shape.size(), x.dims.size());
  for (std::size_t d = 0; d < out.shape.size(); ++d) {
    const TermId term = d < missing ? c.fresh(1) : x.dims.at(d - missing);
    const std::int64_t times = c.size(term) ? out.shape.at(d).hint / c.size(term) : 0;
    dims.push_back(times == 1 ? term : c.terms().product({c.frozen(times, FreezeWhy::Position), term}));
  }
  c.set(0, std::move(dims), x.nonvanishing);
}

// repeat_interleave(r): position i*r + k reads i.
void apply_repeat_interleave(RuleContext& c, const OpRule&) {
  if (!c.has("self") || !c.op().find("repeats") || !c.op().find("repeats")->as<std::int64_t>() ||
      !c.op().find("dim"))
    return c.give_up(FreezeWhy::Index);
  const ValueTerms& x = c.in("self");
  std::vector<TermId> out = x.dims;
  const std::size_t d = c.dim("dim", 0, out.size());
  out.at(d) = c.terms().product({out.at(d), c.frozen(c.op().int_or("repeats", 1), FreezeWhy::Position)});
  c.set(0, std::move(out), x.nonvanishing);
}

}  // namespace

std::span<const OpRule> shape_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "view", .apply = apply_view, .rewrite = rewrite_size},
      {.name = "_unsafe_view", .apply = apply_view, .rewrite = rewrite_size},
      {.name = "reshape", .apply = apply_view, .rewrite = rewrite_size},
      {.name = "view_copy", .apply = apply_view, .rewrite = rewrite_size},
      {.name = "view_as", .apply = apply_view_as},
      {.name = "reshape_as", .apply = apply_view_as},
      {.name = "flatten", .apply = apply_view},
      {.name = "ravel", .apply = apply_view},
      {.name = "unflatten", .apply = apply_view, .rewrite = rewrite_unflatten},
      {.name = "squeeze", .apply = apply_squeeze},
      {.name = "unsqueeze", .apply = apply_unsqueeze},
      {.name = "permute", .apply = apply_permute},
      {.name = "transpose", .apply = apply_transpose},
      {.name = "swapaxes", .apply = apply_transpose},
      {.name = "swapdims", .apply = apply_transpose},
      {.name = "t", .apply = apply_t},
      {.name = "mT", .apply = apply_t},
      {.name = "adjoint", .apply = apply_t},
      {.name = "numpy_T", .apply = apply_reverse_dims},
      {.name = "movedim", .apply = apply_movedim},
      {.name = "moveaxis", .apply = apply_movedim},
      {.name = "expand", .apply = apply_expand, .rewrite = rewrite_size},
      {.name = "broadcast_to", .apply = apply_expand, .rewrite = rewrite_size},
      {.name = "expand_as", .apply = apply_expand_as},
      {.name = "repeat", .apply = apply_repeat},
      {.name = "tile", .apply = apply_repeat},
      {.name = "repeat_interleave", .apply = apply_repeat_interleave},
  });
  return kRules;
}

}  // namespace pollard::graph
