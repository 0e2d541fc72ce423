// SPDX-License-Identifier: Apache-2.0
// Ops whose whole behaviour is one line of the signature notation (graph/op_rules.h).
#include <array>

#include "graph/op_rules.h"

namespace pollard::graph {

std::span<const OpRule> regular_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "linear", .signature = "input n.. i, weight o i, +bias? o -> n.. o", .macs = true},
      {.name = "mm", .signature = "self n k, mat2 k m -> n m", .macs = true},
      {.name = "mv", .signature = "self n k, vec k -> n", .macs = true},
      {.name = "dot", .signature = "self k, tensor k ->", .macs = true},
      {.name = "outer", .signature = "self n, vec2 m -> n m", .macs = true},
      {.name = "ger", .signature = "self n, vec2 m -> n m", .macs = true},
      {.name = "bilinear",
       .signature = "input1 n.. i, input2 n.. j, weight o i j, +bias? o -> n.. o",
       .macs = true},
      {.name = "embedding", .signature = "weight v!vocabulary d, indices n.. -> n.. d"},
      {.name = "instance_norm",
       .signature =
           "input n c x..!reduction, weight? c, +bias? c, =running_mean? c, =running_var? c -> n c x.."},
      {.name = "max_pool1d", .signature = "self n.. l!position -> n.. o"},
      {.name = "max_pool2d", .signature = "self n.. h!position w!position -> n.. p q"},
      {.name = "max_pool3d", .signature = "self n.. d!position h!position w!position -> n.. o p q"},
      {.name = "avg_pool1d", .signature = "self n.. l!position -> n.. o"},
      {.name = "avg_pool2d", .signature = "self n.. h!position w!position -> n.. p q"},
      {.name = "avg_pool3d", .signature = "self n.. d!position h!position w!position -> n.. o p q"},
      {.name = "lp_pool2d", .signature = "self n.. h!position w!position -> n.. p q"},
      {.name = "max_pool2d_with_indices", .signature = "self n.. h!position w!position -> n.. p q; n.. p q"},
      {.name = "adaptive_avg_pool1d", .signature = "self n.. l!position -> n.. o"},
      {.name = "adaptive_avg_pool2d", .signature = "self n.. h!position w!position -> n.. p q"},
      {.name = "_adaptive_avg_pool2d", .signature = "self n.. h!position w!position -> n.. p q"},
      {.name = "adaptive_avg_pool3d", .signature = "self n.. d!position h!position w!position -> n.. o p q"},
      {.name = "adaptive_max_pool1d", .signature = "self n.. l!position -> n.. o; n.. o"},
      {.name = "adaptive_max_pool2d", .signature = "self n.. h!position w!position -> n.. p q; n.. p q"},
      {.name = "adaptive_max_pool3d",
       .signature = "self n.. d!position h!position w!position -> n.. o p q; n.. o p q"},
      {.name = "upsample_nearest1d", .signature = "self/input n c l!position -> n c o"},
      {.name = "upsample_nearest2d", .signature = "self/input n c h!position w!position -> n c p q"},
      {.name = "_upsample_nearest_exact2d", .signature = "self/input n c h!position w!position -> n c p q"},
      {.name = "upsample_nearest3d",
       .signature = "self/input n c d!position h!position w!position -> n c o p q"},
      {.name = "upsample_linear1d", .signature = "self/input n c l!position -> n c o"},
      {.name = "upsample_bilinear2d", .signature = "self/input n c h!position w!position -> n c p q"},
      {.name = "_upsample_bilinear2d_aa", .signature = "self/input n c h!position w!position -> n c p q"},
      {.name = "upsample_bicubic2d", .signature = "self/input n c h!position w!position -> n c p q"},
      {.name = "_upsample_bicubic2d_aa", .signature = "self/input n c h!position w!position -> n c p q"},
      {.name = "upsample_trilinear3d",
       .signature = "self/input n c d!position h!position w!position -> n c o p q"},
      {.name = "grid_sampler",
       .signature = "input n c h!position w!position, =grid n p q two!position -> n c p q"},
      {.name = "grid_sampler_2d",
       .signature = "input n c h!position w!position, =grid n p q two!position -> n c p q"},
      {.name = "grid_sampler_3d",
       .signature = "input n c d!position h!position w!position, =grid n o p q three!position -> n c o p q"},
  });
  return kRules;
}

}  // namespace pollard::graph
