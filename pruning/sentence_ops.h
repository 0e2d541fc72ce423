// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "pruning/attention_layers.h"

namespace pollard::pruning {

/// The ops that stand for one attention once a network over the whole sequence replaces it (attention_to_ffn.h): mask,
/// fill up to `positions`, flatten, norm, linear, leaky ReLU, norm, linear, and back to [B, H, S, h]. The last one makes
/// the attention's result. `weights`: the program's values of SentenceNetwork::parameters(), in that order.
std::vector<graph::Op> sentence_ops(graph::Program& program, const AttentionLayer& layer,
                                    std::int64_t positions, const std::vector<graph::ValueId>& weights);

}  // namespace pollard::pruning
