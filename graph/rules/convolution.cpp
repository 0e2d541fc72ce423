// SPDX-License-Identifier: Apache-2.0
// Convolutions, plain, grouped, depthwise and transposed, in any number of dimensions.
#include <algorithm>
#include <array>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

bool is_transposed(const OpRule& rule, const Op& op) {
  return rule.name.starts_with("conv_transpose") || op.bool_or("transposed", false);
}

/// Channel dimension of the input: 1 with a batch dimension, 0 without.
std::size_t channel_dim(const ValueTerms& x, const ValueTerms& w) {
  return x.dims.size() == w.dims.size() ? 1 : 0;
}

// Grouped: x channels are (G x i), output channels (G x o); a weight is [(G x o), i, k..], transposed [(G x i), o, k..].
void apply_convolution(RuleContext& c, const OpRule& rule) {
  const ValueTerms &x = c.in("input"), &w = c.in("weight");
  if (w.dims.size() < 3 || x.dims.size() + 1 < w.dims.size())
    c.malformed("a weight of rank " + std::to_string(w.dims.size()));
  const std::size_t channel = channel_dim(x, w);
  const std::int64_t groups = std::max<std::int64_t>(1, c.op().int_or("groups", 1));
  const bool transposed = is_transposed(rule, c.op());
  const TermId rows = w.dims.at(0), columns = w.dims.at(1), in = x.dims.at(channel);
  if (c.size(rows) % groups || c.size(in) % groups)
    c.malformed("channels not divisible by " + std::to_string(groups) + " groups");
  TermId out = transposed ? columns : rows;
  TermId per_group = transposed ? rows : columns;
  if (groups == 1) {
    c.unify(in, transposed ? rows : columns);
  } else {
    const TermId G = c.fresh(groups), inner = c.fresh(c.size(rows) / groups);
    c.unify(rows, c.terms().product({G, inner}));
    c.unify(in, c.terms().product({G, transposed ? inner : columns}));
    if (transposed) out = c.terms().product({G, columns});
    c.remember("groups", G);
    per_group = transposed ? inner : columns;
  }
  if (c.has("bias")) c.unify(c.in("bias").dims.at(0), out);
  for (std::size_t d = 2; d < w.dims.size(); ++d) c.freeze(w.dims.at(d), FreezeWhy::Kernel);
  for (std::size_t d = channel + 1; d < x.dims.size(); ++d) c.freeze(x.dims.at(d), FreezeWhy::Position);

  std::vector<TermId> dims(x.dims.begin(), x.dims.begin() + static_cast<std::ptrdiff_t>(channel));
  dims.push_back(out);
  std::vector<TermId> cost = dims;
  const Value& y = c.out_value();
  for (std::size_t d = dims.size(); d < y.shape.size(); ++d)
    dims.push_back(c.frozen(y.shape.at(d).hint, FreezeWhy::Position));
  // A transposed convolution visits every input position, a plain one every output position.
  const auto& positions = transposed ? x.dims : dims;
  cost.insert(cost.end(), positions.begin() + static_cast<std::ptrdiff_t>(channel) + 1, positions.end());
  cost.push_back(per_group);
  cost.insert(cost.end(), w.dims.begin() + 2, w.dims.end());
  c.macs(1, std::move(cost));
  c.set(0, std::move(dims));
}

void rewrite_convolution(RewriteContext& c) {
  if (c.op().int_or("groups", 1) <= 1) return;
  const TermId G = c.remembered("groups");
  if (c.resized(G)) c.op().set("groups", c.new_size(G));
}

}  // namespace

std::span<const OpRule> convolution_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "conv1d", .apply = apply_convolution, .rewrite = rewrite_convolution},
      {.name = "conv2d", .apply = apply_convolution, .rewrite = rewrite_convolution},
      {.name = "conv3d", .apply = apply_convolution, .rewrite = rewrite_convolution},
      {.name = "convolution", .apply = apply_convolution, .rewrite = rewrite_convolution},
      {.name = "_convolution", .apply = apply_convolution, .rewrite = rewrite_convolution},
      {.name = "conv_transpose1d", .apply = apply_convolution, .rewrite = rewrite_convolution},
      {.name = "conv_transpose2d", .apply = apply_convolution, .rewrite = rewrite_convolution},
      {.name = "conv_transpose3d", .apply = apply_convolution, .rewrite = rewrite_convolution},
  });
  return kRules;
}

}  // namespace pollard::graph
