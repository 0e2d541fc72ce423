// SPDX-License-Identifier: Apache-2.0
// Normalisations over feature dimensions: pruning one of them is renormalised, statistics are then over kept units.
#include <algorithm>
#include <array>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

std::size_t normalized_rank(const RuleContext& c) {
  const Arg* shape = c.op().find("normalized_shape");
  const auto* list = shape ? shape->as<Arg::List>() : nullptr;
  return list ? list->size() : 1;
}

/// The axes along which the affine step writes something that is not zero: all but the normalised ones, when biased.
std::vector<TermId> after_affine(RuleContext& c, const std::vector<TermId>& dims, const ValueTerms& x) {
  if (!c.has("bias")) return x.nonvanishing;
  const ValueTerms& bias = c.in("bias");
  return c.nonvanishing_sum(dims, std::array{&bias});
}

void apply_layer_norm(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("input");
  const std::size_t k = normalized_rank(c), rank = x.dims.size();
  if (k > rank) c.malformed("normalises over more dimensions than there are");
  for (const char* parameter : {"weight", "bias"})
    if (c.has(parameter)) c.broadcast(std::span(x.dims).last(k), c.in(parameter).dims);
  for (std::size_t d = rank - k; d < rank; ++d) c.renormalise("input", d, Renormalisation::How::Gather);
  c.set(0, x.dims, after_affine(c, x.dims, x));
  for (std::size_t out = 1; out < c.out_count(); ++out)
    c.set(out, c.frozen(c.out_value(out), FreezeWhy::Reduction));
}

void rewrite_layer_norm(RewriteContext& c) {
  const auto& x = c.terms("input");
  const Arg* shape = c.op().find("normalized_shape");
  const auto* list = shape ? shape->as<Arg::List>() : nullptr;
  const std::size_t k = list ? std::min(list->size(), x.size()) : 0;
  c.resize_list("normalized_shape", std::vector(x.end() - static_cast<std::ptrdiff_t>(k), x.end()));
}

// Channels are (G x c): whole groups leave exactly, units within a group renormalise it.
void apply_group_norm(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("input");
  const std::int64_t groups = c.op().int_or("num_groups", 1);
  if (x.dims.size() < 2 || groups < 1 || c.size(x.dims.at(1)) % groups)
    c.malformed("channels not divisible by num_groups");
  const TermId G = c.fresh(groups), inner = c.fresh(c.size(x.dims.at(1)) / groups);
  c.unify(x.dims.at(1), c.terms().product({G, inner}));
  c.remember("groups", G);
  for (const char* parameter : {"weight", "bias"})
    if (c.has(parameter)) c.unify(c.in(parameter).dims.at(0), x.dims.at(1));
  if (c.size(inner) > 1) c.renormalise("input", 1, Renormalisation::How::Gather, inner);
  // Space is normalised over as well; it carries no units.
  for (std::size_t d = 2; d < x.dims.size(); ++d) c.freeze(x.dims.at(d), FreezeWhy::Position);
  c.set(0, x.dims, after_affine(c, x.dims, x));
}

void rewrite_group_norm(RewriteContext& c) {
  const TermId G = c.remembered("groups");
  if (c.resized(G)) c.op().set("num_groups", c.new_size(G));
}

// Without running statistics (weight standardisation, some small networks) everything but the channels is reduced over.
void apply_batch_norm(RuleContext& c, const OpRule&) {
  static constexpr OpRule kCoupling{
      .name = "batch_norm",
      .signature = "input n c x.., weight? c, +bias? c, =running_mean? c, =running_var? c -> n c x.."};
  apply_signature(c, kCoupling);
  if (c.has("running_mean")) return;
  for (std::size_t d = 0; d < c.rank("input"); ++d)
    if (d != 1) c.renormalise("input", d, Renormalisation::How::Gather);
}

}  // namespace

std::span<const OpRule> norm_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "layer_norm", .apply = apply_layer_norm, .rewrite = rewrite_layer_norm},
      {.name = "native_layer_norm", .apply = apply_layer_norm, .rewrite = rewrite_layer_norm},
      {.name = "rms_norm", .apply = apply_layer_norm, .rewrite = rewrite_layer_norm},
      {.name = "batch_norm", .apply = apply_batch_norm},
      {.name = "group_norm", .apply = apply_group_norm, .rewrite = rewrite_group_norm},
  });
  return kRules;
}

}  // namespace pollard::graph
