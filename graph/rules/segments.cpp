// SPDX-License-Identifier: Apache-2.0
// Ops that join tensors along a dimension or take parts of it: sums of terms.
#include <algorithm>
#include <array>
#include <limits>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

void apply_cat(RuleContext& c, const OpRule&) {
  const Value& out = c.out_value();
  std::vector<const ValueTerms*> parts;
  for (ValueId id : c.op().tensors("tensors"))
    // Concatenating with an empty 1-d tensor is allowed and means nothing.
    if (c.in(id).dims.size() == out.shape.size()) parts.push_back(&c.in(id));
  if (parts.empty()) return c.give_up(FreezeWhy::Unfit);
  const std::size_t along = c.dim("dim", 0, out.shape.size());
  std::vector<TermId> dims = parts.front()->dims, segments, alive;
  for (const ValueTerms* part : parts) {
    segments.push_back(part->dims.at(along));
    alive.insert(alive.end(), part->nonvanishing.begin(), part->nonvanishing.end());
    for (std::size_t d = 0; d < dims.size(); ++d)
      if (d != along) c.unify(dims.at(d), part->dims.at(d));
  }
  dims.at(along) = c.terms().sum(segments);
  c.set(0, std::move(dims), std::move(alive));
}

// A stack keeps its slices apart until something looks at more than one position at a time.
void apply_stack(RuleContext& c, const OpRule&) {
  const std::vector<ValueId> ids = c.op().tensors("tensors");
  if (ids.empty()) return c.give_up(FreezeWhy::Unfit);
  const std::size_t rank = c.out_value().shape.size(), at = c.dim("dim", 0, rank);
  Stacked stacked{.dim = static_cast<std::int32_t>(at), .slices = {}};
  std::vector<TermId> alive;
  for (ValueId id : ids) {
    stacked.slices.push_back(c.in(id).dims);
    if (stacked.slices.back().size() + 1 != rank) c.malformed("a slice of another rank");
    alive.insert(alive.end(), c.in(id).nonvanishing.begin(), c.in(id).nonvanishing.end());
  }
  // One tensor: slices are equally long in every dimension, whichever units each keeps.
  for (const std::vector<TermId>& slice : stacked.slices)
    for (std::size_t d = 0; d < slice.size(); ++d)
      if (c.size(slice[d]) != 1) c.tie_counts(stacked.slices.front()[d], slice[d]);
  std::vector<TermId> dims = stacked.slices.front();
  dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(at),
              c.frozen(static_cast<std::int64_t>(ids.size()), FreezeWhy::Stack));
  c.set_stacked(0, std::move(stacked), std::move(dims));
  c.facts(c.op().outputs[0]).terms.nonvanishing = std::move(alive);
}

/// The terms at one position of `dim`: exact for stacked tensors.
std::vector<TermId> slice_at(RuleContext& c, ValueId id, std::size_t dim, std::int64_t position) {
  const ValueFacts& f = c.facts(id);
  if (f.stacked && static_cast<std::size_t>(f.stacked->dim) == dim) {
    const auto n = static_cast<std::int64_t>(f.stacked->slices.size());
    const std::int64_t at = position < 0 ? position + n : position;
    if (at < 0 || at >= n) c.malformed("position " + std::to_string(position) + " of " + std::to_string(n));
    return f.stacked->slices[static_cast<std::size_t>(at)];
  }
  const ValueTerms& x = c.in(id);
  std::vector<TermId> out = x.dims;
  c.freeze(out.at(dim), FreezeWhy::Select);
  out.erase(out.begin() + static_cast<std::ptrdiff_t>(dim));
  return out;
}

void apply_select(RuleContext& c, const OpRule&) {
  const ValueId self = c.id("self");
  const std::size_t dim = c.dim("dim", 0, c.value(self).shape.size());
  const Arg* index = c.op().find("index");
  const bool number = index && index->as<std::int64_t>();
  if (!number) c.in(self);  // a position known only at run time: collapse a stack
  std::vector<TermId> out = slice_at(c, self, dim, number ? *index->as<std::int64_t>() : 0);
  c.set(0, std::move(out), c.facts(self).terms.nonvanishing);
}

void apply_unbind(RuleContext& c, const OpRule&) {
  const ValueId self = c.id("self");
  const std::size_t dim = c.dim("dim", 0, c.value(self).shape.size());
  for (std::size_t k = 0; k < c.out_count(); ++k)
    c.set(k, slice_at(c, self, dim, static_cast<std::int64_t>(k)), c.facts(self).terms.nonvanishing);
}

/// Takes segments of these lengths off a dimension, left to right; an inexpressible cut freezes both sides.
std::vector<TermId> cut(RuleContext& c, TermId term, std::span<const std::int64_t> lengths) {
  std::vector<TermId> out;
  TermId rest = term;
  for (std::int64_t length : lengths) {
    if (length < 0 || length > c.size(rest)) c.malformed("a part of length " + std::to_string(length));
    auto split = c.terms().split_left(rest, length, c.index());
    if (!split) {
      c.freeze(rest, FreezeWhy::Unfit);
      split =
          std::pair(c.frozen(length, FreezeWhy::Unfit), c.frozen(c.size(rest) - length, FreezeWhy::Unfit));
    }
    out.push_back(split->first);
    rest = split->second;
  }
  return out;
}

void apply_split(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const std::size_t dim = c.dim("dim", 0, x.dims.size());
  std::vector<std::int64_t> lengths;
  for (std::size_t k = 0; k < c.out_count(); ++k) {
    if (c.out_value(k).shape.size() != x.dims.size()) c.malformed("a part of another rank");
    lengths.push_back(c.out_value(k).shape.at(dim).hint);
  }
  const std::vector<TermId> parts = cut(c, x.dims.at(dim), lengths);
  for (std::size_t k = 0; k < parts.size(); ++k) {
    std::vector<TermId> out = x.dims;
    out.at(dim) = parts[k];
    c.set(k, std::move(out), x.nonvanishing);
  }
}

// Whatever way the parts were asked for, unequal ones are asked for by size.
void rewrite_split(RewriteContext& c) {
  const std::size_t dim = c.wrap(c.op().int_or("dim", 0), c.terms("self").size());
  bool changed = false;
  Arg::List sizes;
  for (std::size_t k = 0; k < c.op().outputs.size(); ++k) {
    const TermId part = c.out_terms(k).at(dim);
    changed = changed || c.resized(part);
    sizes.emplace_back(c.new_size(part));
  }
  if (!changed) return;
  const Arg self = *c.op().find("self");
  c.op().target = "aten.split_with_sizes.default";
  c.op().args = {{"self", self}, {"split_sizes", std::move(sizes)}, {"dim", static_cast<std::int64_t>(dim)}};
}

struct SliceBounds {
  std::size_t dim;
  std::int64_t start, length, step;
};

SliceBounds slice_bounds(std::size_t dim, const Op& op, std::int64_t size, std::int64_t length) {
  std::int64_t start = op.int_or("start", 0);
  if (start < 0) start += size;
  return {.dim = dim,
          .start = std::clamp<std::int64_t>(start, 0, size),
          .length = length,
          .step = op.int_or("step", 1)};
}

// Every step-th position from `start`: the term is m x step, and the slice is m.
void apply_strided(RuleContext& c, const ValueTerms& x, const SliceBounds& b) {
  std::vector<TermId> out = x.dims;
  const TermId term = x.dims.at(b.dim);
  if (b.start < b.step && c.size(term) % b.step == 0 && c.size(term) / b.step == b.length) {
    if (const auto split = c.terms().split_minor(term, b.step, c.index())) {
      c.freeze(split->second, FreezeWhy::Stride);
      out.at(b.dim) = split->first;
      return c.set(0, std::move(out), x.nonvanishing);
    }
  }
  c.freeze(term, FreezeWhy::Stride);
  out.at(b.dim) = c.frozen(b.length, FreezeWhy::Stride);
  c.set(0, std::move(out), x.nonvanishing);
}

bool ends_at_run_time(const Op& op) {
  const Arg* end = op.find(op.find("end") ? "end" : "length");
  return end && end->as<ValueId>();
}

void take(RuleContext& c, const SliceBounds& b) {
  const ValueId self = c.id("self");
  const ValueTerms& x = c.in(self);
  if (b.start + b.length > c.size(x.dims.at(b.dim))) c.malformed("a slice past the end");
  const std::array lengths{b.start, b.length, c.size(x.dims.at(b.dim)) - b.start - b.length};
  const std::vector<TermId> parts = cut(c, x.dims.at(b.dim), lengths);
  // What is left of a table, or beyond an end that follows the input's size, may be read at other sizes; what else
  // is left of an activation is dead.
  const bool table = c.facts(self).from_weights;
  if (table || ends_at_run_time(c.op()))
    for (std::size_t unread : {std::size_t{0}, std::size_t{2}})
      c.freeze(parts[unread], table ? FreezeWhy::Unread : FreezeWhy::Position);
  std::vector<TermId> out = x.dims;
  out.at(b.dim) = parts[1];
  c.set(0, std::move(out), x.nonvanishing);
}

void apply_slice(RuleContext& c, const OpRule&) {
  const ValueId self = c.id("self");
  const Value& in = c.value(self);
  const std::size_t dim = c.dim("dim", 0, in.shape.size());
  const std::int64_t size = in.shape.at(dim).hint, length = c.out_value().shape.at(dim).hint;
  const SliceBounds b = slice_bounds(dim, c.op(), size, length);
  const ValueTerms& x = c.in(self);
  if (length == size) return c.set(0, x.dims, x.nonvanishing);
  if (b.step != 1) return apply_strided(c, x, b);
  const Arg* start = c.op().find("start");
  if (start && start->as<ValueId>()) {  // a window whose place is known only at run time
    c.freeze(x.dims.at(dim), FreezeWhy::Position);
    std::vector<TermId> out = x.dims;
    out.at(dim) = c.frozen(length, FreezeWhy::Position);
    return c.set(0, std::move(out), x.nonvanishing);
  }
  take(c, b);
}

void rewrite_slice(RewriteContext& c) {
  const auto& in = c.terms("self");
  const std::size_t dim = c.wrap(c.op().int_or("dim", 0), in.size());
  const std::int64_t length = c.old_size(c.out_terms().at(dim)), size = c.old_size(in[dim]);
  if (!c.resized(in[dim]) || length == size || c.op().int_or("step", 1) != 1) return;
  const SliceBounds b = slice_bounds(dim, c.op(), size, length);
  const std::int64_t start = c.kept_before(in[dim], b.start);
  c.op().set("dim", static_cast<std::int64_t>(dim));
  c.op().set("start", start);
  c.op().set("end", start + c.new_size(c.out_terms().at(dim)));
}

void apply_narrow(RuleContext& c, const OpRule&) {
  const Value& in = c.value(c.id("self"));
  const std::size_t dim = c.dim("dim", 0, in.shape.size());
  if (!c.op().find("start") || !c.op().find("start")->as<std::int64_t>())
    return c.give_up(FreezeWhy::Position);
  take(c, slice_bounds(dim, c.op(), in.shape.at(dim).hint, c.out_value().shape.at(dim).hint));
}

void rewrite_narrow(RewriteContext& c) {
  const auto& in = c.terms("self");
  const std::size_t dim = c.wrap(c.op().int_or("dim", 0), in.size());
  if (!c.resized(in[dim])) return;
  const SliceBounds b = slice_bounds(dim, c.op(), c.old_size(in[dim]), c.old_size(c.out_terms().at(dim)));
  c.op().set("start", c.kept_before(in[dim], b.start));
  c.op().set("length", c.new_size(c.out_terms().at(dim)));
}

// Constant padding puts frozen segments beside the dimension; other modes copy positions.
void apply_pad(RuleContext& c, const OpRule& rule) {
  const ValueTerms& x = c.in("self");
  const Arg* amounts = c.op().find(c.op().find("pad") ? "pad" : "padding");
  const auto* list = amounts ? amounts->as<Arg::List>() : nullptr;
  const auto* mode = c.op().find("mode") ? c.op().find("mode")->as<std::string>() : nullptr;
  const bool constant =
      rule.name == "constant_pad_nd" || (rule.name == "pad" && (!mode || *mode == "constant"));
  if (!list || list->size() / 2 > x.dims.size()) return c.give_up(FreezeWhy::Position);
  std::vector<TermId> out = x.dims;
  for (std::size_t i = 0; i + 1 < list->size(); i += 2) {
    TermId& term = out.at(out.size() - 1 - i / 2);
    const auto *before = (*list)[i].as<std::int64_t>(), *after = (*list)[i + 1].as<std::int64_t>();
    if (before && after && *before == 0 && *after == 0) continue;
    const std::int64_t length = c.out_value().shape.at(out.size() - 1 - i / 2).hint;
    if (constant && before && after && *before >= 0 && *after >= 0) {
      const std::array parts{c.frozen(*before, FreezeWhy::Position), term,
                             c.frozen(*after, FreezeWhy::Position)};
      term = c.terms().sum(parts);
    } else {
      c.freeze(term, FreezeWhy::Position);
      term = c.frozen(length, FreezeWhy::Position);
    }
  }
  const Arg* value = c.op().find("value");
  const bool zero = !value || value->is_none() || (value->as<double>() && *value->as<double>() == 0) ||
                    (value->as<std::int64_t>() && *value->as<std::int64_t>() == 0);
  std::vector<TermId> alive = zero ? x.nonvanishing : c.all_axes(out);
  c.set(0, std::move(out), std::move(alive));
}

// GLU: the first half times the sigmoid of the second.
void apply_glu(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const std::size_t dim = c.dim("dim", -1, x.dims.size());
  const std::array lengths{c.size(x.dims.at(dim)) / 2, c.size(x.dims.at(dim)) / 2};
  const std::vector<TermId> halves = cut(c, x.dims.at(dim), lengths);
  c.unify(halves[0], halves[1]);
  std::vector<TermId> out = x.dims;
  out.at(dim) = halves[0];
  c.set(0, std::move(out), x.nonvanishing);
}

}  // namespace

std::span<const OpRule> segment_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "cat", .apply = apply_cat},
      {.name = "concat", .apply = apply_cat},
      {.name = "concatenate", .apply = apply_cat},
      {.name = "stack", .apply = apply_stack},
      {.name = "select", .apply = apply_select},
      {.name = "unbind", .apply = apply_unbind},
      {.name = "split", .apply = apply_split, .rewrite = rewrite_split},
      {.name = "split_with_sizes", .apply = apply_split, .rewrite = rewrite_split},
      {.name = "unsafe_split", .apply = apply_split, .rewrite = rewrite_split},
      {.name = "unsafe_chunk", .apply = apply_split, .rewrite = rewrite_split},
      {.name = "chunk", .apply = apply_split, .rewrite = rewrite_split},
      {.name = "tensor_split", .apply = apply_split, .rewrite = rewrite_split},
      {.name = "slice", .apply = apply_slice, .rewrite = rewrite_slice},
      {.name = "narrow", .apply = apply_narrow, .rewrite = rewrite_narrow},
      {.name = "pad", .apply = apply_pad},
      {.name = "constant_pad_nd", .apply = apply_pad},
      {.name = "reflection_pad1d", .apply = apply_pad},
      {.name = "reflection_pad2d", .apply = apply_pad},
      {.name = "replication_pad1d", .apply = apply_pad},
      {.name = "replication_pad2d", .apply = apply_pad},
      {.name = "glu", .apply = apply_glu},
  });
  return kRules;
}

}  // namespace pollard::graph
