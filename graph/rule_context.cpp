// SPDX-License-Identifier: Apache-2.0
#include "graph/rule_context.h"

#include <algorithm>
#include <numeric>

#include "graph/malformed.h"

namespace pollard::graph {

void RuleContext::malformed(const std::string& detail) const { graph::malformed(op_, detail); }

std::size_t RuleContext::wrap(std::int64_t dim, std::size_t rank) const {
  const auto n = static_cast<std::int64_t>(std::max<std::size_t>(rank, 1));
  if (dim < -n || dim >= n) malformed("dim " + std::to_string(dim) + " of rank " + std::to_string(rank));
  return static_cast<std::size_t>(dim < 0 ? dim + n : dim);
}

const ValueTerms& RuleContext::in(ValueId id) {
  ValueFacts& f = facts(id);
  if (!f.known) malformed("%" + value(id).name + " is not a tensor here");
  if (f.stacked) {
    const Stacked stacked = *std::exchange(f.stacked, std::nullopt);
    for (const std::vector<TermId>& slice : stacked.slices)
      for (std::size_t d = 0; d < slice.size(); ++d) {
        const std::size_t at = d < static_cast<std::size_t>(stacked.dim) ? d : d + 1;
        unify(f.terms.dims[at], slice[d]);
      }
  }
  return f.terms;
}

const ValueTerms& RuleContext::in(std::string_view argument) { return in(id(argument)); }

ValueId RuleContext::id(std::string_view argument) const {
  const auto found = op_.tensor(argument);
  if (!found) malformed("no tensor argument " + std::string(argument));
  return *found;
}

std::size_t RuleContext::dim(std::string_view argument, std::int64_t fallback, std::size_t rank) const {
  return wrap(op_.int_or(argument, fallback), rank);
}

std::vector<std::size_t> RuleContext::dims(std::string_view argument, std::size_t rank) const {
  std::vector<std::size_t> out;
  const Arg* arg = op_.find(argument);
  if (arg) {
    if (const auto* one = arg->as<std::int64_t>()) out.push_back(wrap(*one, rank));
    if (const auto* list = arg->as<Arg::List>())
      for (const Arg& item : *list)
        if (const auto* d = item.as<std::int64_t>()) out.push_back(wrap(*d, rank));
  }
  if (out.empty() || rank == 0) {  // a scalar may be asked for dimension 0, and has none
    out.resize(rank);
    std::iota(out.begin(), out.end(), std::size_t{0});
  }
  return out;
}

std::vector<TermId> RuleContext::fresh(const Value& value) {
  std::vector<TermId> out;
  for (const Size& size : value.shape) out.push_back(fresh(size.hint));
  return out;
}

std::vector<TermId> RuleContext::frozen(const Value& value, FreezeWhy why) {
  std::vector<TermId> out;
  for (const Size& size : value.shape) out.push_back(frozen(size.hint, why));
  return out;
}

void RuleContext::broadcast(std::span<const TermId> out, std::span<const TermId> operand) {
  if (operand.size() > out.size()) malformed("an operand has more dimensions than the result");
  const std::size_t offset = out.size() - operand.size();
  for (std::size_t d = 0; d < operand.size(); ++d)
    if (size(operand[d]) != 1 || size(out[offset + d]) == 1) unify(out[offset + d], operand[d]);
}

void RuleContext::set(std::size_t k, std::vector<TermId> dims, std::vector<TermId> nonvanishing) {
  const Value& out = out_value(k);
  if (out.kind != Value::Kind::Tensor) return;
  if (dims.size() != out.shape.size())
    malformed("rank " + std::to_string(dims.size()) + " for " + to_string(out));
  for (std::size_t d = 0; d < dims.size(); ++d)
    if (size(dims[d]) != out.shape[d].hint)
      malformed("length " + std::to_string(size(dims[d])) + " for dim " + std::to_string(d) + " of " +
                to_string(out));
  ValueFacts& f = facts(op_.outputs[k]);
  f.terms = {.dims = std::move(dims), .nonvanishing = std::move(nonvanishing)};
  f.known = true;
}

void RuleContext::set_stacked(std::size_t k, Stacked stacked, std::vector<TermId> dims) {
  set(k, std::move(dims));
  facts(op_.outputs[k]).stacked = std::move(stacked);
}

void RuleContext::set_uniform(std::size_t k, bool zero) {
  facts(op_.outputs[k]).uniform = true;
  facts(op_.outputs[k]).zero = zero;
}

void RuleContext::renormalise(std::string_view argument, std::size_t dim, Renormalisation::How how,
                              std::optional<TermId> over) {
  const TermId term = over.value_or(in(argument).dims.at(dim));
  if (size(term) == 1) return;
  state_.renormalisations.push_back({.op = index_,
                                     .argument = std::string(argument),
                                     .dim = static_cast<std::int32_t>(dim),
                                     .how = how,
                                     .term = term});
}

bool RuleContext::vanishes(const ValueTerms& operand, TermId axis) {
  if (!mentions(operand, axis)) return false;
  for (TermId term : operand.nonvanishing)
    if (std::ranges::count(terms().axes(term), axis) > 0) return false;
  return true;
}

bool RuleContext::mentions(const ValueTerms& operand, TermId axis) {
  for (TermId term : operand.dims)
    if (std::ranges::count(terms().axes(term), axis) > 0) return true;
  return false;
}

void RuleContext::contract(TermId term, std::span<const ValueTerms* const> operands,
                           std::string_view argument, std::size_t dim) {
  const std::span one(&term, 1);
  if (!nonvanishing_product(one, operands).empty()) renormalise(argument, dim, Renormalisation::How::Mask);
}

std::vector<TermId> RuleContext::nonvanishing_product(std::span<const TermId> dims,
                                                      std::span<const ValueTerms* const> operands) {
  std::vector<TermId> out;
  for (TermId axis : all_axes(dims))
    if (std::ranges::none_of(operands, [&](const ValueTerms* o) { return vanishes(*o, axis); }))
      out.push_back(axis);
  return out;
}

std::vector<TermId> RuleContext::nonvanishing_sum(std::span<const TermId> dims,
                                                  std::span<const ValueTerms* const> operands) {
  std::vector<TermId> out;
  for (TermId axis : all_axes(dims))
    if (!std::ranges::all_of(operands, [&](const ValueTerms* o) { return vanishes(*o, axis); }))
      out.push_back(axis);
  return out;
}

std::vector<TermId> RuleContext::all_axes(std::span<const TermId> dims) {
  std::vector<TermId> out;
  for (TermId term : dims)
    for (TermId axis : terms().axes(term))
      if (!terms().freeze_of(axis) && std::ranges::find(out, axis) == out.end()) out.push_back(axis);
  return out;
}

void RuleContext::macs(std::int64_t coefficient, std::vector<TermId> factors) {
  state_.macs.push_back({.coefficient = coefficient, .terms = std::move(factors), .op = index_});
}

void RuleContext::give_up(FreezeWhy why) {
  for (const NamedArg& named : op_.args)
    for (ValueId operand : values_in(named.arg))
      if (value(operand).kind == Value::Kind::Tensor)
        for (TermId term : std::vector(in(operand).dims)) freeze(term, why);
  for (std::size_t k = 0; k < out_count(); ++k)
    if (out_value(k).kind == Value::Kind::Tensor) set(k, frozen(out_value(k), why));
}

}  // namespace pollard::graph
