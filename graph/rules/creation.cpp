// SPDX-License-Identifier: Apache-2.0
// Ops that make tensors from nothing, read sizes, or only assert.
#include <array>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

bool is_zero_fill(const RuleContext& c, const OpRule& rule) {
  if (rule.name.find("zero") != std::string_view::npos) return true;
  const Arg* value = c.op().find("fill_value") ? c.op().find("fill_value") : c.op().find("value");
  if (!value) return false;
  return (value->as<double>() && *value->as<double>() == 0) ||
         (value->as<std::int64_t>() && *value->as<std::int64_t>() == 0);
}

// Every element is the same, so units of it are as many as whoever meets it needs.
void apply_constant(RuleContext& c, const OpRule& rule) {
  const bool zero = is_zero_fill(c, rule);
  std::vector<TermId> dims = c.fresh(c.out_value());
  std::vector<TermId> alive = zero ? std::vector<TermId>{} : c.all_axes(dims);
  c.set(0, std::move(dims), std::move(alive));
  c.set_uniform(0, zero);
}

void apply_constant_like(RuleContext& c, const OpRule& rule) {
  const bool zero = is_zero_fill(c, rule);
  const ValueTerms& x = c.in("self");
  c.set(0, x.dims, zero ? std::vector<TermId>{} : c.all_axes(x.dims));
  c.set_uniform(0, zero);
}

void rewrite_size(RewriteContext& c) { c.resize_list("size", c.out_terms()); }

// Values depend on the position: counting up, random numbers, diagonals.
void apply_positions(RuleContext& c, const OpRule&) {
  for (std::size_t k = 0; k < c.out_count(); ++k)
    if (c.out_value(k).kind == Value::Kind::Tensor) c.set(k, c.frozen(c.out_value(k), FreezeWhy::Order));
}

void apply_random_like(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  c.set(0, x.dims, c.all_axes(x.dims));
}

void apply_meshgrid(RuleContext& c, const OpRule&) {
  for (ValueId id : c.op().tensors("tensors"))
    for (TermId term : std::vector(c.in(id).dims)) c.freeze(term, FreezeWhy::Order);
  for (std::size_t k = 0; k < c.out_count(); ++k) c.set(k, c.frozen(c.out_value(k), FreezeWhy::Order));
}

// A length read at run time must be the one the program was made for.
void apply_sym_size(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  for (std::size_t d : c.dims("dim", x.dims.size())) c.freeze(x.dims[d], FreezeWhy::SizeRead);
}

void apply_nothing(RuleContext&, const OpRule&) {}

// Shapes asserted at export no longer hold for what was pruned; dtypes still do.
void rewrite_assertion(RewriteContext& c) {
  for (const char* name : {"size", "stride"})
    if (c.op().find(name)) c.op().set(name, Arg());
}

}  // namespace

std::span<const OpRule> creation_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "zeros", .apply = apply_constant, .rewrite = rewrite_size},
      {.name = "ones", .apply = apply_constant, .rewrite = rewrite_size},
      {.name = "full", .apply = apply_constant, .rewrite = rewrite_size},
      {.name = "empty", .apply = apply_constant, .rewrite = rewrite_size},
      {.name = "new_zeros", .apply = apply_constant, .rewrite = rewrite_size},
      {.name = "new_ones", .apply = apply_constant, .rewrite = rewrite_size},
      {.name = "new_full", .apply = apply_constant, .rewrite = rewrite_size},
      {.name = "new_empty", .apply = apply_constant, .rewrite = rewrite_size},
      {.name = "zeros_like", .apply = apply_constant_like},
      {.name = "ones_like", .apply = apply_constant_like},
      {.name = "full_like", .apply = apply_constant_like},
      {.name = "empty_like", .apply = apply_constant_like},
      {.name = "fill", .apply = apply_constant_like},
      {.name = "zero", .apply = apply_constant_like},
      {.name = "rand_like", .apply = apply_random_like},
      {.name = "randn_like", .apply = apply_random_like},
      {.name = "rand", .apply = apply_positions},
      {.name = "randn", .apply = apply_positions},
      {.name = "arange", .apply = apply_positions},
      {.name = "linspace", .apply = apply_positions},
      {.name = "eye", .apply = apply_positions},
      {.name = "scalar_tensor", .apply = apply_positions},
      {.name = "tril_indices", .apply = apply_positions},
      {.name = "triu_indices", .apply = apply_positions},
      {.name = "meshgrid", .apply = apply_meshgrid},
      {.name = "sym_size", .apply = apply_sym_size},
      {.name = "sym_numel", .apply = apply_sym_size},
      {.name = "item", .apply = apply_nothing},
      {.name = "_local_scalar_dense", .apply = apply_nothing},
      {.name = "_assert_tensor_metadata", .apply = apply_nothing, .rewrite = rewrite_assertion},
      {.name = "_assert_scalar", .apply = apply_nothing},
      {.name = "sym_constrain_range", .apply = apply_nothing},
      {.name = "sym_constrain_range_for_size", .apply = apply_nothing},
  });
  return kRules;
}

}  // namespace pollard::graph
