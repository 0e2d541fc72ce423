// SPDX-License-Identifier: Apache-2.0
#include "graph/term.h"

#include <algorithm>
#include <array>

#include "graph/error.h"
#include "graph/saturating.h"

namespace pollard::graph {
namespace {

struct FreezeText {
  FreezeWhy why;
  std::string_view name;
  std::string_view sentence;
};
constexpr std::array<FreezeText, 21> kFreezeTexts{{
    {FreezeWhy::None, "none", "free"},
    {FreezeWhy::Input, "input", "its size is part of what the caller passes in"},
    {FreezeWhy::Output, "output", "its size is part of what the caller gets back"},
    {FreezeWhy::Position, "position", "it counts positions (space, time, tokens), not units of a layer"},
    {FreezeWhy::Gate, "gate", "it counts the gates of a recurrent cell"},
    {FreezeWhy::Kernel, "kernel", "it is the spatial extent of a kernel"},
    {FreezeWhy::Vocabulary, "vocabulary", "its rows are addressed by input values"},
    {FreezeWhy::Softmax, "softmax", "a softmax runs over it, so removing one unit changes all others"},
    {FreezeWhy::Reduction, "reduction", "a reduction runs over it whose result a removed unit would change"},
    {FreezeWhy::Order, "order", "the positions along it matter"},
    {FreezeWhy::Index, "index", "it is addressed by an index tensor"},
    {FreezeWhy::Select, "select", "single positions of it are picked"},
    {FreezeWhy::Stride, "stride", "it is read with a step"},
    {FreezeWhy::Stack, "stack", "it counts stacked tensors"},
    {FreezeWhy::Integer, "integer", "it belongs to an integer or boolean table"},
    {FreezeWhy::SizeRead, "size-read", "its length is read while the program runs"},
    {FreezeWhy::Unread, "unread", "it is a part of a parameter that this program does not read"},
    {FreezeWhy::CountTie, "count-tie", "it must keep as many units as an axis of another structure"},
    {FreezeWhy::Unfit, "unfit", "two shapes meet here that no sum of products describes"},
    {FreezeWhy::Argument, "argument", "an op argument depends on it that cannot be rewritten"},
    {FreezeWhy::UnknownOp, "unknown-op", "an op without a rule touches it"},
}};

}  // namespace

std::string_view to_string(FreezeWhy why) { return kFreezeTexts[static_cast<std::size_t>(why)].name; }
std::string_view describe(FreezeWhy why) { return kFreezeTexts[static_cast<std::size_t>(why)].sentence; }

TermId Terms::make(Kind kind, std::int64_t size, std::vector<TermId> parts) {
  nodes_.push_back({.kind = kind, .size = size, .freeze = {}, .parts = std::move(parts), .forward = {}});
  return {static_cast<std::int32_t>(nodes_.size() - 1)};
}

TermId Terms::axis(std::int64_t size) { return make(Kind::Axis, size, {}); }

TermId Terms::frozen_axis(std::int64_t size, Freeze freeze) {
  const TermId term = axis(size);
  node(term).freeze = freeze;
  return term;
}

TermId Terms::product(std::span<const TermId> parts) {
  std::vector<TermId> flat;
  std::int64_t total = 1;
  for (TermId part : parts) {
    total = times(total, size(part));
    if (size(part) != 1) flatten(part, Kind::Product, flat);
  }
  if (flat.empty()) return axis(1);
  return flat.size() == 1 ? flat.front() : make(Kind::Product, total, std::move(flat));
}

TermId Terms::sum(std::span<const TermId> parts) {
  std::vector<TermId> flat;
  std::int64_t total = 0;
  for (TermId part : parts) {
    total = plus(total, size(part));
    if (size(part) != 0) flatten(part, Kind::Sum, flat);
  }
  if (flat.empty()) return axis(0);
  return flat.size() == 1 ? flat.front() : make(Kind::Sum, total, std::move(flat));
}

TermId Terms::find(TermId term) const {
  TermId root = term;
  while (node(root).forward.index >= 0) root = node(root).forward;
  while (node(term).forward.index >= 0) term = std::exchange(node(term).forward, root);
  return root;
}

void Terms::flatten(TermId term, Kind kind, std::vector<TermId>& out) const {
  term = find(term);
  if (node(term).kind != kind) {
    out.push_back(term);
    return;
  }
  for (TermId part : node(term).parts) flatten(part, kind, out);
}

std::vector<TermId> Terms::factors(TermId term) const {
  std::vector<TermId> out;
  flatten(term, Kind::Product, out);
  return out;
}

std::vector<TermId> Terms::segments(TermId term) const {
  std::vector<TermId> out;
  flatten(term, Kind::Sum, out);
  return out;
}

void Terms::collect_axes(TermId term, std::vector<TermId>& out) const {
  term = find(term);
  if (node(term).kind == Kind::Axis) {
    if (size(term) != 1) out.push_back(term);
    return;
  }
  for (TermId part : node(term).parts) collect_axes(part, out);
}

std::vector<TermId> Terms::axes(TermId term) const {
  std::vector<TermId> out;
  collect_axes(term, out);
  return out;
}

void Terms::freeze(TermId term, Freeze freeze) {
  std::vector<TermId> found;
  collect_axes(term, found);
  for (TermId axis : found)
    if (!node(axis).freeze) node(axis).freeze = freeze;
}

void Terms::bind(TermId axis, TermId term) {
  if (const Freeze frozen = node(axis).freeze) freeze(term, frozen);
  node(axis).forward = term;
}

bool Terms::unfit(TermId a, TermId b, std::int32_t op) {
  freeze(a, {FreezeWhy::Unfit, op});
  freeze(b, {FreezeWhy::Unfit, op});
  return false;
}

bool Terms::unify(TermId a, TermId b, std::int32_t op) {
  a = find(a);
  b = find(b);
  if (a == b) return true;
  if (size(a) != size(b)) return unfit(a, b, op);
  if (size(a) == 1) return true;
  if (size(a) == 0) return unfit(a, b, op), true;
  const bool a_axis = node(a).kind == Kind::Axis;
  const bool b_axis = node(b).kind == Kind::Axis;
  if (a_axis && b_axis) {
    bind(std::max(a, b), std::min(a, b));
    return true;
  }
  if (a_axis) return bind(a, b), true;
  if (b_axis) return bind(b, a), true;
  if (node(a).kind == Kind::Product || node(b).kind == Kind::Product) return unify_products(a, b, op);
  return unify_sums(a, b, op);
}

// Both sides are compared from the minor end: the smaller of the two minor factors is split off each side.
bool Terms::unify_products(TermId a, TermId b, std::int32_t op) {
  if (node(a).kind != Kind::Product) std::swap(a, b);
  std::int64_t minor = size(factors(a).back());
  if (node(b).kind == Kind::Product) minor = std::min(minor, size(factors(b).back()));
  const auto split_a = split_minor(a, minor, op);
  const auto split_b = split_minor(b, minor, op);
  if (!split_a || !split_b) return unfit(a, b, op);
  const bool minors = unify(split_a->second, split_b->second, op);
  return unify(split_a->first, split_b->first, op) && minors;
}

bool Terms::unify_sums(TermId a, TermId b, std::int32_t op) {
  bool all = true;
  while (kind(a) == Kind::Sum && kind(b) == Kind::Sum) {
    const std::int64_t left = std::min(size(segments(a).front()), size(segments(b).front()));
    const auto split_a = split_left(a, left, op);
    const auto split_b = split_left(b, left, op);
    if (!split_a || !split_b) return unfit(a, b, op);
    all = unify(split_a->first, split_b->first, op) && all;
    a = find(split_a->second);
    b = find(split_b->second);
  }
  return unify(a, b, op) && all;
}

std::optional<std::pair<TermId, TermId>> Terms::split_minor(TermId term, std::int64_t minor_size,
                                                            std::int32_t op) {
  term = find(term);
  const std::int64_t total = size(term);
  if (total == minor_size) return std::pair(axis(1), term);
  if (minor_size == 1) return std::pair(term, axis(1));
  if (minor_size <= 0 || total % minor_size != 0) return std::nullopt;
  switch (node(term).kind) {
    case Kind::Axis: {
      const TermId major = axis(total / minor_size);
      const TermId minor = axis(minor_size);
      bind(term, product({major, minor}));
      return std::pair(major, minor);
    }
    case Kind::Product: return split_product_minor(term, minor_size, op);
    case Kind::Sum: return split_sum_minor(term, minor_size, op);
  }
  return std::nullopt;
}

std::optional<std::pair<TermId, TermId>> Terms::split_product_minor(TermId term, std::int64_t minor_size,
                                                                    std::int32_t op) {
  std::vector<TermId> rest = factors(term);
  std::vector<TermId> minor;
  std::int64_t left = minor_size;
  while (left > 1) {
    const TermId last = rest.back();
    rest.pop_back();
    if (left % size(last) == 0) {
      minor.insert(minor.begin(), last);
      left /= size(last);
    } else if (size(last) % left == 0) {
      const auto split = split_minor(last, left, op);
      if (!split) return std::nullopt;
      rest.push_back(split->first);
      minor.insert(minor.begin(), split->second);
      left = 1;
    } else {
      return std::nullopt;
    }
  }
  return std::pair(product(rest), product(minor));
}

// A sum reads as a product when its segments divide, or runs of them make up one minor (a whole that was cut before it
// met the product; single positions beside others are no parts of a whole): the majors add up, the minors become one.
std::optional<std::pair<TermId, TermId>> Terms::split_sum_minor(TermId term, std::int64_t minor_size,
                                                                std::int32_t op) {
  std::vector<TermId> wholes, run;
  std::int64_t length = 0;
  for (TermId segment : segments(term)) {
    run.push_back(segment);
    length += size(segment);
    if (length % minor_size != 0) continue;
    const bool units = std::ranges::any_of(run, [&](TermId part) { return size(part) == 1; });
    if (run.size() > 1 && (length != minor_size || units)) return std::nullopt;
    wholes.push_back(sum(run));
    run.clear();
    length = 0;
  }
  std::vector<TermId> majors;
  TermId minor;
  for (TermId whole : wholes) {
    const auto split = split_minor(whole, minor_size, op);
    if (!split) return std::nullopt;
    majors.push_back(split->first);
    if (minor.index < 0)
      minor = split->second;
    else if (!unify(minor, split->second, op))
      return std::nullopt;
  }
  // Majors of size 1 count: k of them are a sum of k single units, which nobody can remove.
  const TermId major = sum(majors);
  return std::pair(major, find(minor));
}

std::optional<std::pair<TermId, TermId>> Terms::split_left(TermId term, std::int64_t left_size,
                                                           std::int32_t op) {
  term = find(term);
  const std::int64_t total = size(term);
  if (left_size == 0) return std::pair(axis(0), term);
  if (left_size == total) return std::pair(term, axis(0));
  if (left_size < 0 || left_size > total) return std::nullopt;
  switch (node(term).kind) {
    case Kind::Axis: {
      const TermId left = axis(left_size);
      const TermId right = axis(total - left_size);
      const std::array parts{left, right};
      bind(term, sum(parts));
      return std::pair(left, right);
    }
    case Kind::Sum: return split_sum_left(term, left_size, op);
    case Kind::Product: break;
  }
  const std::vector<TermId> parts = factors(term);
  const TermId minor = product(std::span(parts).subspan(1));
  if (left_size % size(minor) != 0) return std::nullopt;
  const auto split = split_left(parts.front(), left_size / size(minor), op);
  if (!split) return std::nullopt;
  return std::pair(product({split->first, minor}), product({split->second, minor}));
}

std::optional<std::pair<TermId, TermId>> Terms::split_sum_left(TermId term, std::int64_t left_size,
                                                               std::int32_t op) {
  const std::vector<TermId> all = segments(term);
  std::vector<TermId> left, right;
  std::int64_t missing = left_size;
  for (TermId segment : all) {
    if (missing == 0) {
      right.push_back(segment);
    } else if (size(segment) <= missing) {
      left.push_back(segment);
      missing -= size(segment);
    } else {
      const auto split = split_left(segment, missing, op);
      if (!split) return std::nullopt;
      left.push_back(split->first);
      right.push_back(split->second);
      missing = 0;
    }
  }
  return std::pair(sum(left), sum(right));
}

}  // namespace pollard::graph
