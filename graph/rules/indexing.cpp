// SPDX-License-Identifier: Apache-2.0
// Ops that address positions by index tensors, and ops for which the order of positions matters.
#include <algorithm>
#include <array>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

struct Indexed {
  std::vector<std::size_t> dims;  ///< indexed dimensions of self
  std::vector<ValueId> tensors;
};

Indexed indexed_dims(RuleContext& c) {
  Indexed out;
  const Arg* arg = c.op().find("indices");
  const auto* list = arg ? arg->as<Arg::List>() : nullptr;
  for (std::size_t d = 0; list && d < list->size(); ++d)
    if (const auto* id = (*list)[d].as<ValueId>()) {
      out.dims.push_back(d);
      out.tensors.push_back(*id);
    }
  return out;
}

bool is_mask(RuleContext& c, const Indexed& indexed) {
  return std::ranges::any_of(indexed.tensors, [&](ValueId id) {
    return c.value(id).dtype == DType::Bool || c.value(id).dtype == DType::UInt8;
  });
}

/// Terms of self[indices]: the broadcast index dims stand at the first indexed dimension when the indexed ones are
/// adjacent, in front otherwise; dimensions that are not indexed pass through.
std::vector<TermId> addressed(RuleContext& c, const ValueTerms& x, const Indexed& indexed, const Value& out) {
  if (indexed.dims.back() >= x.dims.size()) c.malformed("more indices than dimensions");
  std::vector<TermId> rest;
  for (std::size_t d = 0; d < x.dims.size(); ++d) {
    if (std::ranges::count(indexed.dims, d))
      c.freeze(x.dims.at(d), FreezeWhy::Index);
    else
      rest.push_back(x.dims.at(d));
  }
  const bool adjacent = indexed.dims.back() - indexed.dims.front() + 1 == indexed.dims.size();
  const std::size_t at = adjacent ? indexed.dims.front() : 0;
  if (out.shape.size() < rest.size()) c.malformed("an index of negative rank");
  std::vector<TermId> picked;
  for (std::size_t d = 0; d < out.shape.size() - rest.size(); ++d)
    picked.push_back(c.fresh(out.shape.at(at + d).hint));
  for (ValueId id : indexed.tensors) c.broadcast(picked, c.in(id).dims);
  rest.insert(rest.begin() + static_cast<std::ptrdiff_t>(at), picked.begin(), picked.end());
  return rest;
}

void apply_index(RuleContext& c, const OpRule&) {
  const Indexed indexed = indexed_dims(c);
  if (indexed.dims.empty() || is_mask(c, indexed)) return c.give_up(FreezeWhy::Index);
  const ValueTerms& x = c.in("self");
  c.set(0, addressed(c, x, indexed, c.out_value()), x.nonvanishing);
}

void apply_index_put(RuleContext& c, const OpRule&) {
  const Indexed indexed = indexed_dims(c);
  const ValueTerms& x = c.in("self");
  if (indexed.dims.empty() || is_mask(c, indexed)) {
    // A mask over leading dimensions leaves the others alone only when the values are one number.
    return c.give_up(FreezeWhy::Index);
  }
  const ValueTerms& values = c.in("values");
  Value target;
  std::size_t rank = 0;
  for (ValueId id : indexed.tensors) rank = std::max(rank, c.value(id).shape.size());
  if (values.dims.size() < rank + x.dims.size() - indexed.dims.size()) return c.give_up(FreezeWhy::Index);
  target = c.value(c.id("values"));
  const std::vector<TermId> place = addressed(c, x, indexed, target);
  c.broadcast(place, values.dims);
  std::vector<TermId> alive = c.nonvanishing_sum(x.dims, std::array{&x});
  alive.insert(alive.end(), values.nonvanishing.begin(), values.nonvanishing.end());
  c.set(0, x.dims, std::move(alive));
}

void apply_index_select(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const std::size_t d = c.dim("dim", 0, x.dims.size());
  std::vector<TermId> out = x.dims;
  c.freeze(out.at(d), FreezeWhy::Index);
  out.at(d) = c.in("index").dims.empty() ? c.fresh(1) : c.in("index").dims.at(0);
  c.freeze(out.at(d), FreezeWhy::Index);
  c.set(0, std::move(out), x.nonvanishing);
}

/// Dimensions other than `along` of two tensors run in step; different lengths are read in part.
void in_step(RuleContext& c, const ValueTerms& a, const ValueTerms& b, std::size_t along) {
  if (a.dims.size() != b.dims.size()) c.malformed("an index of another rank");
  for (std::size_t d = 0; d < a.dims.size(); ++d) {
    if (d == along) continue;
    if (c.size(a.dims.at(d)) == c.size(b.dims.at(d)))
      c.unify(a.dims.at(d), b.dims.at(d));
    else
      for (TermId term : {a.dims.at(d), b.dims.at(d)}) c.freeze(term, FreezeWhy::Index);
  }
}

void apply_gather(RuleContext& c, const OpRule& rule) {
  const ValueTerms &x = c.in("self"), &index = c.in(rule.name == "take_along_dim" ? "indices" : "index");
  const std::size_t along = c.dim("dim", 0, x.dims.size());
  in_step(c, x, index, along);
  c.freeze(x.dims.at(along), FreezeWhy::Index);
  c.set(0, index.dims, x.nonvanishing);
}

void apply_scatter(RuleContext& c, const OpRule&) {
  const ValueTerms &x = c.in("self"), &index = c.in("index");
  const std::size_t along = c.dim("dim", 0, x.dims.size());
  in_step(c, x, index, along);
  c.freeze(x.dims.at(along), FreezeWhy::Index);
  std::vector<TermId> alive = c.nonvanishing_sum(x.dims, std::array{&x});
  if (c.has("src")) {
    const ValueTerms& source = c.in("src");
    in_step(c, index, source, along);
    if (c.size(index.dims.at(along)) == c.size(source.dims.at(along)))
      c.unify(index.dims.at(along), source.dims.at(along));
    alive.insert(alive.end(), source.nonvanishing.begin(), source.nonvanishing.end());
  }
  c.set(0, x.dims, std::move(alive));
}

// index_add(self, dim, index [k], source with k at dim)
void apply_index_add(RuleContext& c, const OpRule&) {
  const ValueTerms &x = c.in("self"), &source = c.in("source");
  const std::size_t along = c.dim("dim", 0, x.dims.size());
  in_step(c, x, source, along);
  c.freeze(x.dims.at(along), FreezeWhy::Index);
  c.freeze(source.dims.at(along), FreezeWhy::Index);
  c.set(0, x.dims, c.nonvanishing_sum(x.dims, std::array{&x, &source}));
}

void apply_reordered(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  for (std::size_t d : c.dims("dims", x.dims.size()))
    if (c.size(x.dims.at(d)) != 1) c.freeze(x.dims.at(d), FreezeWhy::Order);
  c.set(0, x.dims, x.nonvanishing);
}

// tril and triu compare positions of the last two dimensions.
void apply_triangle(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  for (std::size_t d = x.dims.size() - std::min<std::size_t>(2, x.dims.size()); d < x.dims.size(); ++d)
    c.freeze(x.dims.at(d), FreezeWhy::Order);
  c.set(0, x.dims, x.nonvanishing);
}

// [.., n] -> [.., n, n]: n stands along both new dimensions.
void apply_diag_embed(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const bool last = c.op().int_or("dim1", -2) == -2 && c.op().int_or("dim2", -1) == -1;
  if (x.dims.empty() || c.op().int_or("offset", 0) != 0 || !last) return c.give_up(FreezeWhy::Order);
  std::vector<TermId> out = x.dims;
  out.push_back(out.back());
  c.set(0, std::move(out), x.nonvanishing);
}

void apply_embedding_bag(RuleContext& c, const OpRule&) {
  const ValueTerms& weight = c.in("weight");
  c.freeze(weight.dims.at(0), FreezeWhy::Vocabulary);
  c.set(0, {c.frozen(c.out_value(0).shape.at(0).hint, FreezeWhy::Position), weight.dims.at(1)});
  for (std::size_t k = 1; k < c.out_count(); ++k)
    if (c.out_value(k).kind == Value::Kind::Tensor) c.set(k, c.frozen(c.out_value(k), FreezeWhy::Index));
}

void apply_opaque(RuleContext& c, const OpRule&) { c.give_up(FreezeWhy::Index); }

}  // namespace

std::span<const OpRule> indexing_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "index", .apply = apply_index},
      {.name = "_unsafe_index", .apply = apply_index},
      {.name = "index_put", .apply = apply_index_put},
      {.name = "index_select", .apply = apply_index_select},
      {.name = "gather", .apply = apply_gather},
      {.name = "take_along_dim", .apply = apply_gather},
      {.name = "scatter", .apply = apply_scatter},
      {.name = "scatter_add", .apply = apply_scatter},
      {.name = "scatter_reduce", .apply = apply_scatter},
      {.name = "index_add", .apply = apply_index_add},
      {.name = "index_copy", .apply = apply_index_add},
      {.name = "index_reduce", .apply = apply_index_add},
      {.name = "roll", .apply = apply_reordered},
      {.name = "flip", .apply = apply_reordered},
      {.name = "rot90", .apply = apply_opaque},
      {.name = "tril", .apply = apply_triangle},
      {.name = "triu", .apply = apply_triangle},
      {.name = "diag_embed", .apply = apply_diag_embed},
      {.name = "embedding_bag", .apply = apply_embedding_bag},
      {.name = "_embedding_bag", .apply = apply_embedding_bag},
      {.name = "masked_select", .apply = apply_opaque},
      {.name = "nonzero", .apply = apply_opaque},
      {.name = "nonzero_numpy", .apply = apply_opaque},
      {.name = "one_hot", .apply = apply_opaque},
      {.name = "searchsorted", .apply = apply_opaque},
      {.name = "bincount", .apply = apply_opaque},
  });
  return kRules;
}

}  // namespace pollard::graph
