// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/dependencies.h"

namespace pollard::graph {

/// Tensors that hold several alternatives along one dimension (the states of several LSTM layers, a stack):
/// picking one position along `dim` gives exactly that slice's terms.
struct Stacked {
  std::int32_t dim = 0;
  std::vector<std::vector<TermId>> slices;  ///< one a position, without `dim`
};

/// Everything the forward pass knows about a value.
struct ValueFacts {
  ValueTerms terms;
  std::optional<Stacked> stacked;
  bool known = false;
  bool uniform = false;       ///< every element is the same constant (zeros, full)
  bool zero = false;          ///< that constant is 0
  bool from_weights = false;  ///< computed from parameters and constants alone
};

/// Two terms that must keep equally many units.
struct CountTie {
  TermId a, b;
  std::int32_t op = -1;
};

/// The state of the forward pass.
struct AnalysisState {
  const Program& program;
  Terms terms;
  std::vector<ValueFacts> values;
  std::vector<Renormalisation> renormalisations;
  std::vector<Monomial> macs;
  std::vector<CountTie> ties;
  std::vector<std::pair<TermId, Role>> roles;
  std::map<std::pair<std::int32_t, std::string>, TermId> op_terms;
};

/// What a rule sees of its op: operands' terms in, coupling and results out.
class RuleContext {
 public:
  RuleContext(AnalysisState& state, const Op& op, std::int32_t op_index)
      : state_(state), op_(op), index_(op_index) {}

  const Program& program() const { return state_.program; }
  const Op& op() const { return op_; }
  std::int32_t index() const { return index_; }
  Terms& terms() { return state_.terms; }

  // Operands ------------------------------------------------------------------------------------------------
  ValueFacts& facts(ValueId id) { return state_.values[static_cast<std::size_t>(id.index)]; }
  /// Terms of a tensor operand. A stacked value collapses here: all its slices become one.
  const ValueTerms& in(ValueId id);
  const ValueTerms& in(std::string_view argument);
  bool has(std::string_view argument) const { return op_.tensor(argument).has_value(); }
  ValueId id(std::string_view argument) const;
  const Value& value(ValueId id) const { return program()[id]; }
  std::size_t rank(std::string_view argument) { return in(argument).dims.size(); }
  /// A dim argument, wrapped into [0, rank).
  std::size_t dim(std::string_view argument, std::int64_t fallback, std::size_t rank) const;
  /// A list of dims (or a single one), wrapped; all dims when absent, None or empty.
  std::vector<std::size_t> dims(std::string_view argument, std::size_t rank) const;

  // Terms ----------------------------------------------------------------------------------------------------
  TermId fresh(std::int64_t size) { return terms().axis(size); }
  std::vector<TermId> fresh(const Value& value);
  TermId frozen(std::int64_t size, FreezeWhy why) { return terms().frozen_axis(size, {why, index_}); }
  std::vector<TermId> frozen(const Value& value, FreezeWhy why);
  std::int64_t size(TermId term) { return terms().size(term); }
  void unify(TermId a, TermId b) { terms().unify(a, b, index_); }
  void freeze(TermId term, FreezeWhy why) { terms().freeze(term, {why, index_}); }
  /// Right-aligned broadcasting of an operand's dims onto `out`.
  void broadcast(std::span<const TermId> out, std::span<const TermId> operand);

  // Results --------------------------------------------------------------------------------------------------
  const Value& out_value(std::size_t k = 0) const { return program()[op_.outputs.at(k)]; }
  std::size_t out_count() const { return op_.outputs.size(); }
  /// Sets result k; its rank must be the value's. Non-tensor results are ignored.
  void set(std::size_t k, std::vector<TermId> dims, std::vector<TermId> nonvanishing = {});
  void set_stacked(std::size_t k, Stacked stacked, std::vector<TermId> dims);
  void set_uniform(std::size_t k, bool zero);

  // Facts for later stages -----------------------------------------------------------------------------------
  /// The op reduces `argument` over `dim`; `over` limits which of its axes that concerns (default: all).
  void renormalise(std::string_view argument, std::size_t dim, Renormalisation::How how,
                   std::optional<TermId> over = std::nullopt);
  /// The op sums over `term` of these operands: where none of them vanishes for removed units, `argument` is masked.
  void contract(TermId term, std::span<const ValueTerms* const> operands, std::string_view argument,
                std::size_t dim);
  void role(TermId term, Role role) { state_.roles.emplace_back(term, role); }
  void macs(std::int64_t coefficient, std::vector<TermId> terms);
  void tie_counts(TermId a, TermId b) { state_.ties.push_back({a, b, index_}); }
  void remember(const std::string& name, TermId term) { state_.op_terms[{index_, name}] = term; }
  /// The op and its operands contradict each other: a damaged file (UserError E0312).
  [[noreturn]] void malformed(const std::string& detail) const;
  /// A possibly negative dim of a tensor of that rank.
  std::size_t wrap(std::int64_t dim, std::size_t rank) const;
  /// Freezes everything the op touches and gives it fresh frozen results.
  void give_up(FreezeWhy why);

  /// Axes of `dims` that are nonvanishing in a product of the operands: along which no operand is zero.
  std::vector<TermId> nonvanishing_product(std::span<const TermId> dims,
                                           std::span<const ValueTerms* const> operands);
  /// Same for a sum: along which some operand is not zero (or is broadcast).
  std::vector<TermId> nonvanishing_sum(std::span<const TermId> dims,
                                       std::span<const ValueTerms* const> operands);
  std::vector<TermId> all_axes(std::span<const TermId> dims);

 private:
  bool vanishes(const ValueTerms& operand, TermId axis);
  bool mentions(const ValueTerms& operand, TermId axis);

  AnalysisState& state_;
  const Op& op_;
  std::int32_t index_;
};

}  // namespace pollard::graph
