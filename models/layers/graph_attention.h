// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/network.h"

namespace pollard::models {

/// A directed graph on N nodes: edge e goes from node source[e] to node target[e]; int64 [E], ids in [0, N). Edges may
/// repeat, and each counts.
struct Edges {
  at::Tensor source, target;
};

enum class SelfLoops : bool {
  AsGiven,  ///< the edges are all there is
  One       ///< one a node, whatever the edges say: those among the edges are left out
};

/// Graph attention (Velickovic et al., 2018, arXiv 1710.10903) of K heads of width F. Node i gets
/// sum_e alpha_e z[source(e)] over the edges e into it, alpha_e = softmax over those edges of
/// leaky_relu(<z[source(e)], a_source> + <z[i], a_target>, 0.2), with 1e-16 added to the softmax's sum: a node without
/// edges gets 0. z [N, K, F]; a_source and a_target [1, K, F]; result [N, K, F].
/// The largest score of each node is subtracted before exp, as PyTorch Geometric does (where DepGraph's code subtracts the
/// largest of all edges: the same but for the 1e-16).
at::Tensor graph_attention(const at::Tensor& z, const at::Tensor& a_source, const at::Tensor& a_target,
                           const Edges& edges, SelfLoops loops);

/// What a graph network is given: features x [N, width] and edge_index [2, E] (sources, targets).
std::vector<Example> graph_examples(std::int64_t width);
Edges edges_of(const at::Tensor& edge_index);

}  // namespace pollard::models
