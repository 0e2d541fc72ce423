// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "graph/rewrite_context.h"
#include "graph/rule_context.h"

namespace pollard::graph {

/// What a pointwise op makes of zeros: whether units masked to zero stay zero.
enum class Zero : std::uint8_t {
  Keeps,     ///< f(0, 0) = 0: relu, tanh, add of tensors
  Additive,  ///< Keeps, unless a non-zero number is added (add, sub)
  Product,   ///< one zero operand suffices (mul)
  First,     ///< zero when the first operand is (div)
  Loses      ///< f(0) != 0: sigmoid, exp, cos
};

/// Everything pollard knows about one op. Three things stand side by side: how terms unify, how integer arguments
/// follow after pruning, and how many multiply-accumulates it costs. Regular ops are one line in the signature
/// notation; irregular ones name a function.
///
///     {.name = "linear", .signature = "input n.. i, weight o i, +bias? o -> n.. o", .macs = true}
///
/// In a signature an operand is its schema name and one letter a dimension; equal letters are one term, `n..` is any
/// number of dimensions (broadcast), `?` marks an optional operand, `+` one that is added, `=` one that only shares
/// terms; `a/b` is an operand that overloads name differently. A letter new in the result is a fresh position. `v!vocabulary` freezes with that reason. With `macs` the op
/// costs the product of all its letters.
struct OpRule {
  using Apply = void (*)(RuleContext&, const OpRule&);
  using Rewrite = void (*)(RewriteContext&);
  std::string_view name;      ///< "linear" of aten.linear.*; "ns::name" outside aten
  Apply apply = nullptr;      ///< nullptr: by signature
  Rewrite rewrite = nullptr;  ///< nullptr: no argument depends on sizes
  std::string_view signature = {};
  bool macs = false;
  Zero zero = Zero::Loses;  ///< pointwise ops
};

/// The rule for a target ("aten.linear.default", "aten.relu_.default"), or nullptr.
const OpRule* find_rule(std::string_view target);
/// All rules, sorted by name (documentation, tests, allow-list).
std::vector<const OpRule*> all_rules();

/// Applies a rule in signature notation.
void apply_signature(RuleContext& context, const OpRule& rule);

// The table, by kind; the explicit list of all of them is in op_rules.cpp.
std::span<const OpRule> regular_rules();      ///< rules/regular.cpp
std::span<const OpRule> pointwise_rules();    ///< rules/pointwise.cpp
std::span<const OpRule> shape_rules();        ///< rules/shape.cpp
std::span<const OpRule> segment_rules();      ///< rules/segments.cpp
std::span<const OpRule> convolution_rules();  ///< rules/convolution.cpp
std::span<const OpRule> attention_rules();    ///< rules/attention.cpp
std::span<const OpRule> norm_rules();         ///< rules/norm.cpp
std::span<const OpRule> recurrent_rules();    ///< rules/recurrent.cpp
std::span<const OpRule> reduction_rules();    ///< rules/reduction.cpp
std::span<const OpRule> indexing_rules();     ///< rules/indexing.cpp
std::span<const OpRule> creation_rules();     ///< rules/creation.cpp
std::span<const OpRule> spatial_rules();      ///< rules/spatial.cpp

}  // namespace pollard::graph
