// SPDX-License-Identifier: Apache-2.0
// Ops that reduce, normalise or order along a dimension.
#include <algorithm>
#include <array>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

const char* operand_name(const RuleContext& c) { return c.has("self") ? "self" : "input"; }

/// All results of the op have the operand's shape without the reduced dims (or with 1 for each).
void drop_dims(RuleContext& c, const ValueTerms& x, std::span<const std::size_t> reduced) {
  for (std::size_t k = 0; k < c.out_count(); ++k) {
    const bool keep = c.out_value(k).shape.size() == x.dims.size();
    std::vector<TermId> out;
    for (std::size_t d = 0; d < x.dims.size(); ++d) {
      if (std::ranges::count(reduced, d) == 0)
        out.push_back(x.dims.at(d));
      else if (keep)
        out.push_back(c.fresh(1));
    }
    c.set(k, std::move(out), x.nonvanishing);
  }
}

// A sum (or a p-norm) is unchanged by zeros; where removed units are not zero it is taken over the kept ones.
void apply_sum(RuleContext& c, const OpRule&) {
  const char* name = operand_name(c);
  const ValueTerms& x = c.in(name);
  const std::vector<std::size_t> reduced = c.dims("dim", x.dims.size());
  for (std::size_t d : reduced) c.contract(x.dims.at(d), std::array{&x}, name, d);
  drop_dims(c, x, reduced);
}

bool finite_positive_order(const Op& op) {
  const Arg* order = op.find("ord") ? op.find("ord") : op.find("p");
  if (!order || order->is_none()) return true;
  if (const auto* i = order->as<std::int64_t>()) return *i > 0;
  return order->as<double>() && *order->as<double>() > 0;
}

void apply_norm(RuleContext& c, const OpRule& rule) {
  if (finite_positive_order(c.op())) return apply_sum(c, rule);
  c.give_up(FreezeWhy::Reduction);
}

void apply_mean(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const std::vector<std::size_t> reduced = c.dims("dim", x.dims.size());
  for (std::size_t d : reduced) c.renormalise("self", d, Renormalisation::How::Gather);
  drop_dims(c, x, reduced);
}

void apply_extremum(RuleContext& c, const OpRule&) {
  if (c.op().target.ends_with(".other")) {  // max(a, b) is the pointwise maximum
    const OpRule& maximum = *find_rule("aten.maximum.default");
    return maximum.apply(c, maximum);
  }
  const ValueTerms& x = c.in("self");
  const std::vector<std::size_t> reduced = c.dims("dim", x.dims.size());
  for (std::size_t d : reduced) c.freeze(x.dims.at(d), FreezeWhy::Reduction);
  drop_dims(c, x, reduced);
}

void freeze_along(RuleContext& c, FreezeWhy why, bool keeps_zeros) {
  const char* name = operand_name(c);
  const ValueTerms& x = c.in(name);
  for (std::size_t d : c.dims("dim", x.dims.size())) c.freeze(x.dims.at(d), why);
  for (std::size_t k = 0; k < c.out_count(); ++k) {
    std::vector<TermId> out = x.dims;
    if (c.out_value(k).shape.size() != out.size()) return c.give_up(why);
    // Real transforms shorten a dimension they run along.
    for (std::size_t d = 0; d < out.size(); ++d)
      if (c.size(out.at(d)) != c.out_value(k).shape.at(d).hint)
        out.at(d) = c.frozen(c.out_value(k).shape.at(d).hint, why);
    c.set(k, std::move(out), keeps_zeros ? x.nonvanishing : c.all_axes(x.dims));
  }
}

void apply_softmax(RuleContext& c, const OpRule&) { freeze_along(c, FreezeWhy::Softmax, false); }
void apply_ordered(RuleContext& c, const OpRule&) { freeze_along(c, FreezeWhy::Order, true); }

// Two-dimensional transforms run over the last two dimensions by default.
void apply_transform(RuleContext& c, const OpRule& rule) {
  const ValueTerms& x = c.in("self");
  if (!c.op().find("dim"))
    for (std::size_t d = x.dims.size() - std::min<std::size_t>(2, x.dims.size()); d < x.dims.size(); ++d)
      c.freeze(x.dims.at(d), FreezeWhy::Order);
  apply_ordered(c, rule);
}

// topk and diff shorten the dimension they run along; sort keeps it.
void apply_resizing_order(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const std::size_t d = c.dim("dim", -1, x.dims.size());
  if (x.dims.empty()) return c.give_up(FreezeWhy::Order);
  c.freeze(x.dims.at(d), FreezeWhy::Order);
  for (std::size_t k = 0; k < c.out_count(); ++k) {
    std::vector<TermId> out = x.dims;
    if (c.out_value(k).shape.size() != out.size()) return c.give_up(FreezeWhy::Order);
    out.at(d) = c.frozen(c.out_value(k).shape.at(d).hint, FreezeWhy::Order);
    c.set(k, std::move(out), x.nonvanishing);
  }
}

// Eigenvalues of symmetric matrices come in ascending order; every one depends on every row.
void apply_eigen(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in(c.has("self") ? "self" : "A");
  if (x.dims.size() < 2) c.malformed("an eigenvalue of no matrix");
  std::vector<TermId> lead(x.dims.begin(), x.dims.end() - 2);
  for (std::size_t d = lead.size(); d < x.dims.size(); ++d) c.freeze(x.dims.at(d), FreezeWhy::Reduction);
  const std::vector<TermId> alive = c.all_axes(lead);
  for (std::size_t k = 0; k < c.out_count(); ++k) {
    std::vector<TermId> out = lead;
    const auto& shape = c.out_value(k).shape;
    while (out.size() < shape.size())
      out.push_back(c.frozen(shape.at(out.size()).hint, FreezeWhy::Reduction));
    c.set(k, std::move(out), alive);
  }
}

void apply_cosine_similarity(RuleContext& c, const OpRule&) {
  const ValueTerms &a = c.in("x1"), &b = c.in("x2");
  if (a.dims.size() != b.dims.size()) return c.give_up(FreezeWhy::Reduction);
  const std::size_t along = c.dim("dim", 1, a.dims.size());
  std::vector<TermId> out = c.fresh(c.out_value());
  std::vector<TermId> left, right;
  for (std::size_t d = 0; d < a.dims.size(); ++d)
    if (d != along) {
      left.push_back(a.dims.at(d));
      right.push_back(b.dims.at(d));
    }
  c.unify(a.dims.at(along), b.dims.at(along));
  c.contract(a.dims.at(along), std::array{&a}, "x1", along);
  c.contract(b.dims.at(along), std::array{&b}, "x2", along);
  c.broadcast(out, left);
  c.broadcast(out, right);
  std::vector<TermId> alive = c.all_axes(out);
  c.set(0, std::move(out), std::move(alive));
}

}  // namespace

std::span<const OpRule> reduction_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "sum", .apply = apply_sum},
      {.name = "nansum", .apply = apply_sum},
      {.name = "linalg_vector_norm", .apply = apply_norm},
      {.name = "norm", .apply = apply_norm},
      {.name = "frobenius_norm", .apply = apply_norm},
      {.name = "mean", .apply = apply_mean},
      {.name = "var", .apply = apply_mean},
      {.name = "std", .apply = apply_mean},
      {.name = "var_mean", .apply = apply_mean},
      {.name = "std_mean", .apply = apply_mean},
      {.name = "max", .apply = apply_extremum},
      {.name = "min", .apply = apply_extremum},
      {.name = "amax", .apply = apply_extremum},
      {.name = "amin", .apply = apply_extremum},
      {.name = "argmax", .apply = apply_extremum},
      {.name = "argmin", .apply = apply_extremum},
      {.name = "any", .apply = apply_extremum},
      {.name = "all", .apply = apply_extremum},
      {.name = "prod", .apply = apply_extremum},
      {.name = "median", .apply = apply_extremum},
      {.name = "mode", .apply = apply_extremum},
      {.name = "kthvalue", .apply = apply_extremum},
      {.name = "logsumexp", .apply = apply_extremum},
      {.name = "count_nonzero", .apply = apply_extremum},
      {.name = "softmax", .apply = apply_softmax},
      {.name = "_softmax", .apply = apply_softmax},
      {.name = "_safe_softmax", .apply = apply_softmax},
      {.name = "softmin", .apply = apply_softmax},
      {.name = "log_softmax", .apply = apply_softmax},
      {.name = "_log_softmax", .apply = apply_softmax},
      {.name = "cumsum", .apply = apply_ordered},
      {.name = "cumprod", .apply = apply_ordered},
      {.name = "cummax", .apply = apply_ordered},
      {.name = "logcumsumexp", .apply = apply_ordered},
      {.name = "sort", .apply = apply_ordered},
      {.name = "argsort", .apply = apply_ordered},
      {.name = "topk", .apply = apply_resizing_order},
      {.name = "diff", .apply = apply_resizing_order},
      {.name = "fft_rfft", .apply = apply_resizing_order},
      {.name = "fft_irfft", .apply = apply_resizing_order},
      {.name = "fft_fft", .apply = apply_resizing_order},
      {.name = "fft_ifft", .apply = apply_resizing_order},
      {.name = "fft_fft2", .apply = apply_transform},
      {.name = "fft_ifft2", .apply = apply_transform},
      {.name = "fft_fftn", .apply = apply_ordered},
      {.name = "fft_ifftn", .apply = apply_ordered},
      {.name = "fft_rfft2", .apply = apply_transform},
      {.name = "fft_irfft2", .apply = apply_transform},
      {.name = "fft_rfftn", .apply = apply_ordered},
      {.name = "fft_irfftn", .apply = apply_ordered},
      {.name = "linalg_eigh", .apply = apply_eigen},
      {.name = "_linalg_eigh", .apply = apply_eigen},
      {.name = "linalg_eigvalsh", .apply = apply_eigen},
      {.name = "cosine_similarity", .apply = apply_cosine_similarity},
  });
  return kRules;
}

}  // namespace pollard::graph
