// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/model.h"

namespace pollard::pruning {

/// A self-attention over the positions of a sequence, found in a program by what it computes: queries, keys and values
/// are dense products of one value, and the result reaches nothing but through the op that weighs the values.
struct AttentionLayer {
  std::string name;    ///< what its projections' weights have in common: "encoder.layer.0.attention.self"
  std::size_t op = 0;  ///< makes the result [B, H, S, h], or [B H, S, h]: attention, or softmax's product
  graph::ValueId x;    ///< [B, S, d] or [S, B, d]: what queries, keys and values are made from
  bool sequence_first = false;            ///< x is [S, B, d]
  std::optional<graph::ValueId> present;  ///< a user input [B, S] that is 0 where a position is padding
  std::int64_t heads = 0, head_dim = 0;   ///< H and h of the result
};

struct AttentionLayers {
  std::vector<AttentionLayer> layers;  ///< in program order
  std::vector<std::string> left;       ///< "decoder.0.attn: earlier positions do not see later ones"
};

/// Attention layers of the program that read a whole sequence. Causal ones and those between two sequences are listed
/// under `left` with the reason. Causality is measured: the second half of x changes in one example of a run on the
/// example inputs, and the first half of the result must follow, while no other example may.
AttentionLayers find_attention_layers(const models::Model& model, std::uint64_t seed);

/// The place among the executor's inputs of a value that is a user input.
std::optional<std::size_t> tensor_input(const graph::Program& program, graph::ValueId value);

}  // namespace pollard::pruning
