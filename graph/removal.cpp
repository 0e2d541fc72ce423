// SPDX-License-Identifier: Apache-2.0
#include "graph/removal.h"

#include <algorithm>
#include <numeric>

#include "graph/error.h"

namespace pollard::graph {
namespace {

/// Calls `f` with the term's size in `widths`; products multiply, sums add.
std::int64_t fold(const Dependencies& dependencies, TermId term, const Widths& widths) {
  const Terms& terms = dependencies.terms;
  term = terms.find(term);
  switch (terms.kind(term)) {
    case Terms::Kind::Axis: {
      const AxisIndex axis = dependencies.axis_of(term);
      return axis < 0 ? terms.size(term) : widths[static_cast<std::size_t>(axis)];
    }
    case Terms::Kind::Product: {
      std::int64_t out = 1;
      for (TermId factor : terms.factors(term)) out *= fold(dependencies, factor, widths);
      return out;
    }
    case Terms::Kind::Sum: {
      std::int64_t out = 0;
      for (TermId segment : terms.segments(term)) out += fold(dependencies, segment, widths);
      return out;
    }
  }
  return 0;
}

/// Which flat indices of a term survive, as 0/1.
std::vector<char> keep_mask(const Dependencies& dependencies, TermId term, const Removal& removal) {
  const Terms& terms = dependencies.terms;
  term = terms.find(term);
  if (terms.kind(term) == Terms::Kind::Axis) {
    std::vector<char> mask(static_cast<std::size_t>(terms.size(term)), 1);
    if (const AxisIndex axis = dependencies.axis_of(term); axis >= 0)
      for (std::int64_t index : removal.removed[static_cast<std::size_t>(axis)])
        mask[static_cast<std::size_t>(index)] = 0;
    return mask;
  }
  if (terms.kind(term) == Terms::Kind::Sum) {
    std::vector<char> mask;
    for (TermId segment : terms.segments(term)) {
      const std::vector<char> part = keep_mask(dependencies, segment, removal);
      mask.insert(mask.end(), part.begin(), part.end());
    }
    return mask;
  }
  std::vector<char> mask{1};
  for (TermId factor : terms.factors(term)) {
    const std::vector<char> part = keep_mask(dependencies, factor, removal);
    std::vector<char> next;
    next.reserve(mask.size() * part.size());
    for (char major : mask)
      for (char minor : part) next.push_back(static_cast<char>(major & minor));
    mask = std::move(next);
  }
  return mask;
}

}  // namespace

Widths full_widths(const Dependencies& dependencies) {
  Widths widths;
  widths.reserve(dependencies.axes.size());
  for (const Axis& axis : dependencies.axes) widths.push_back(axis.size);
  return widths;
}

std::int64_t size_at(const Dependencies& dependencies, TermId term, const Widths& widths) {
  return fold(dependencies, term, widths);
}

bool Removal::empty() const {
  return std::ranges::all_of(removed, [](const auto& indices) { return indices.empty(); });
}

Widths Removal::widths(const Dependencies& dependencies) const {
  Widths widths = full_widths(dependencies);
  for (std::size_t a = 0; a < widths.size(); ++a) widths[a] -= static_cast<std::int64_t>(removed[a].size());
  return widths;
}

std::vector<std::int64_t> kept_indices(const Dependencies& dependencies, TermId term,
                                       const Removal& removal) {
  const std::vector<char> mask = keep_mask(dependencies, term, removal);
  std::vector<std::int64_t> kept;
  for (std::size_t i = 0; i < mask.size(); ++i)
    if (mask[i]) kept.push_back(static_cast<std::int64_t>(i));
  return kept;
}

std::vector<std::int64_t> unit_of_index(const Dependencies& dependencies, TermId term, AxisIndex axis) {
  const Terms& terms = dependencies.terms;
  term = terms.find(term);
  if (terms.kind(term) == Terms::Kind::Axis) {
    std::vector<std::int64_t> units(static_cast<std::size_t>(terms.size(term)), -1);
    if (dependencies.axis_of(term) == axis) std::iota(units.begin(), units.end(), 0);
    return units;
  }
  std::vector<std::int64_t> units;
  if (terms.kind(term) == Terms::Kind::Sum) {
    for (TermId segment : terms.segments(term)) {
      const auto part = unit_of_index(dependencies, segment, axis);
      units.insert(units.end(), part.begin(), part.end());
    }
    return units;
  }
  units = {-1};
  for (TermId factor : terms.factors(term)) {
    const auto part = unit_of_index(dependencies, factor, axis);
    std::vector<std::int64_t> next;
    next.reserve(units.size() * part.size());
    for (std::int64_t major : units)
      for (std::int64_t minor : part) next.push_back(minor >= 0 ? minor : major);
    units = std::move(next);
  }
  return units;
}

bool touched(const Dependencies& dependencies, TermId term, const Removal& removal) {
  return std::ranges::any_of(dependencies.terms.axes(term), [&](TermId axis) {
    return !removal.removed[static_cast<std::size_t>(dependencies.axis_of(axis))].empty();
  });
}

}  // namespace pollard::graph
