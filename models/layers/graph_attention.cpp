// SPDX-License-Identifier: Apache-2.0
#include "models/layers/graph_attention.h"

#include <ATen/ops/exp.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/ne.h>
#include <ATen/ops/scatter_reduce.h>
#include <ATen/ops/zeros_like.h>

#include <limits>

namespace pollard::models {

at::Tensor graph_attention(const at::Tensor& z, const at::Tensor& a_source, const at::Tensor& a_target,
                           const Edges& edges, SelfLoops loops) {
  const auto& [source, target] = edges;
  const at::Tensor from = z.mul(a_source).sum(-1), to = z.mul(a_target).sum(-1);  // [N, K]
  const at::Tensor scores =
      at::leaky_relu(from.index_select(0, source).add(to.index_select(0, target)), 0.2);  // [E, K]
  const bool own = loops == SelfLoops::One;
  const at::Tensor own_scores = own ? at::leaky_relu(from.add(to), 0.2) : at::Tensor();
  const at::Tensor lowest = own ? own_scores : at::full_like(from, -std::numeric_limits<double>::infinity());
  const at::Tensor by_head = target.unsqueeze(-1).expand({scores.size(0), scores.size(1)});
  const at::Tensor largest =
      at::scatter_reduce(lowest.detach(), 0, by_head, scores.detach(), "amax");  // [N, K]  // [N, K]

  at::Tensor weights = at::exp(scores.sub(largest.index_select(0, target)));  // [E, K]
  if (own) weights = weights.mul(at::ne(source, target).unsqueeze(-1).to(weights.scalar_type()));
  const at::Tensor own_weights = own ? at::exp(own_scores.sub(largest)) : at::zeros_like(from);
  const at::Tensor total = own_weights.index_add(0, target, weights);
  const at::Tensor sent = z.index_select(0, source).mul(weights.unsqueeze(-1));  // [E, K, F]
  const at::Tensor mixed = z.mul(own_weights.unsqueeze(-1)).index_add(0, target, sent);
  return mixed.div(total.add(1e-16).unsqueeze(-1));
}

std::vector<Example> graph_examples(std::int64_t width) {
  constexpr std::int64_t kNodes = 12, kEdges = 30;
  const Dim nodes(kNodes, "nodes", 1, std::nullopt), edges(kEdges, "edges", 1, std::nullopt);
  return {{"x", {nodes, width}}, {"edge_index", {2, edges}, at::kLong, kNodes}};
}

Edges edges_of(const at::Tensor& edge_index) { return {edge_index.select(0, 0), edge_index.select(0, 1)}; }

}  // namespace pollard::models
