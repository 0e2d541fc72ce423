// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "models/spec.h"

namespace pollard::models {

/// transformers' BertConfig, and what tells one layout of its checkpoints from another.
struct BertSpec {
  std::int64_t vocab_size = 30522, hidden_size = 768, num_hidden_layers = 12, num_attention_heads = 12;
  std::int64_t intermediate_size = 3072, max_position_embeddings = 512, type_vocab_size = 2, pad_token_id = 0;
  std::string hidden_act = "gelu";
  double layer_norm_eps = 1e-12, hidden_dropout_prob = 0.1, attention_probs_dropout_prob = 0.1;
  std::string prefix;  // "bert." under a model with a head
  bool pooler = true;
  bool mlm_head = false;  // cls.predictions.*, decoder tied to the word embeddings
  /// Rows of query and of intermediate.dense, one a layer: heads and units may have been pruned.
  std::vector<std::int64_t> attention_sizes, intermediate_sizes;

  void fields(Fields& f) {
    f.integer("vocab_size", vocab_size);
    f.integer("hidden_size", hidden_size, {1, 1 << 16});
    f.integer("num_hidden_layers", num_hidden_layers, {1, 1024});
    f.integer("num_attention_heads", num_attention_heads, {1, 1024});
    f.integer("intermediate_size", intermediate_size, {1, 1 << 18});
    f.integer("max_position_embeddings", max_position_embeddings);
    f.integer("type_vocab_size", type_vocab_size, {1, 1024});
    f.integer("pad_token_id", pad_token_id, {0, 1 << 24});
    f.text("hidden_act", hidden_act, {"gelu", "gelu_new", "relu", "silu", "tanh"});
    f.real("layer_norm_eps", layer_norm_eps);
    f.real("hidden_dropout_prob", hidden_dropout_prob);
    f.real("attention_probs_dropout_prob", attention_probs_dropout_prob);
    f.text("prefix", prefix, {"", "bert."});
    f.flag("pooler", pooler);
    f.flag("mlm_head", mlm_head);
    f.integers("attention_sizes", attention_sizes, {1, 1 << 18});
    f.integers("intermediate_sizes", intermediate_sizes, {1, 1 << 18});
    f.require(hidden_size % num_attention_heads == 0, "num_attention_heads divides hidden_size");
    f.require(pad_token_id < vocab_size, "pad_token_id is below vocab_size");
    const auto layers = static_cast<std::size_t>(num_hidden_layers);
    if (attention_sizes.empty()) attention_sizes.assign(layers, hidden_size);
    if (intermediate_sizes.empty()) intermediate_sizes.assign(layers, intermediate_size);
    f.require(attention_sizes.size() == layers && intermediate_sizes.size() == layers, "one size a layer");
    for (const std::int64_t rows : attention_sizes)
      f.require(rows % head_dim() == 0, "attention_sizes are multiples of the head width");
  }
  std::int64_t head_dim() const { return std::max<std::int64_t>(1, hidden_size / num_attention_heads); }
};

}  // namespace pollard::models
