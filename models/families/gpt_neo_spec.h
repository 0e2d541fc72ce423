// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/floor_divide.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/families/decoder_parts.h"

namespace pollard::models {

/// GPTNeoConfig's fields that both families share; which layers see everything is theirs to say.
struct NeoSpec {
  std::int64_t vocab_size = 50257, max_position_embeddings = 2048, hidden_size = 768, num_layers = 12,
               num_heads = 12;
  std::int64_t intermediate_size = 0;  // 0 = 4 hidden_size
  std::string activation_function = "gelu_new";
  double layer_norm_epsilon = 1e-5, embed_dropout = 0, attention_dropout = 0, resid_dropout = 0;
  bool tie_word_embeddings = true;
  std::vector<std::int64_t> attention_sizes, intermediate_sizes;  // one a layer: parts may have been pruned

  void shared_fields(Fields& f) {
    f.integer("vocab_size", vocab_size);
    f.integer("max_position_embeddings", max_position_embeddings);
    f.integer("hidden_size", hidden_size, {1, 1 << 16});
    f.integer("num_layers", num_layers, {1, 1024});
    f.integer("num_heads", num_heads, {1, 1024});
    f.integer("intermediate_size", intermediate_size, {0, 1 << 20});
    f.text("activation_function", activation_function, {"gelu_new", "gelu", "relu", "silu", "tanh"});
    f.real("layer_norm_epsilon", layer_norm_epsilon);
    f.real("embed_dropout", embed_dropout);
    f.real("attention_dropout", attention_dropout);
    f.real("resid_dropout", resid_dropout);
    f.flag("tie_word_embeddings", tie_word_embeddings);
    f.require(hidden_size % num_heads == 0, "num_heads divides hidden_size");
    if (intermediate_size == 0) intermediate_size = 4 * hidden_size;
    layer_sizes(f, "attention_sizes", attention_sizes, num_layers, hidden_size);
    layer_sizes(f, "intermediate_sizes", intermediate_sizes, num_layers, intermediate_size);
    for (const std::int64_t width : attention_sizes)
      f.require(width % head_dim() == 0, "attention_sizes are multiples of the head width");
  }
  std::int64_t head_dim() const { return std::max<std::int64_t>(1, hidden_size / num_heads); }

  /// What a checkpoint's shapes show. Heads do not: 64 or, in the wide sizes, 128 a head.
  void guess(const Shapes& shapes) {
    vocab_size = shapes.dim("transformer.wte.weight", 0);
    hidden_size = shapes.dim("transformer.wte.weight", 1);
    max_position_embeddings = shapes.dim("transformer.wpe.weight", 0);
    num_layers = shapes.count("transformer.h.", ".attn.attention.q_proj.weight");
    num_heads = std::max<std::int64_t>(1, hidden_size / (hidden_size >= 2048 ? 128 : 64));
    for (std::int64_t i = 0; i < num_layers; ++i) {
      const std::string block = "transformer.h." + std::to_string(i);
      attention_sizes.push_back(shapes.dim(block + ".attn.attention.q_proj.weight", 0));
      intermediate_sizes.push_back(shapes.dim(block + ".mlp.c_fc.weight", 0));
    }
    intermediate_size = shapes.dim("transformer.h.0.mlp.c_fc.weight", 0);
    tie_word_embeddings =
        !shapes.has("lm_head.weight") || shapes.same("transformer.wte.weight", "lm_head.weight");
  }
};

struct GptNeoSpec : NeoSpec {
  std::int64_t window_size = 256;
  std::vector<std::string> attention_layers;  // "global" or "local", one a layer
  void fields(Fields& f) {
    shared_fields(f);
    f.integer("window_size", window_size);
    f.texts("attention_layers", attention_layers);
    while (attention_layers.size() < attention_sizes.size())
      attention_layers.emplace_back(attention_layers.size() % 2 == 0 ? "global" : "local");
    f.require(std::ssize(attention_layers) == num_layers, "one entry of attention_layers a layer");
    for (const std::string& kind : attention_layers)
      f.require(kind == "global" || kind == "local", "attention_layers are global or local");
  }
  bool sees_all(std::size_t layer) const { return attention_layers[layer] == "global"; }
  /// [T, T]: the last window_size tokens, the query's own included.
  at::Tensor local_mask(const at::Tensor& positions) const {
    const at::Tensor query = positions.unsqueeze(1);
    return positions.le(query).logical_and(positions.gt(query.sub(window_size)));
  }
};

struct MasformerSpec : NeoSpec {
  std::int64_t block_size = 1024, previous_blocks = 1;
  std::vector<std::int64_t> full_attention_layers;
  MasformerSpec() {
    max_position_embeddings = 8192;
    num_layers = 24;
    hidden_size = 2048;
    num_heads = 16;
    for (std::int64_t layer = 0; layer < 8; ++layer) full_attention_layers.push_back(layer);
  }
  void fields(Fields& f) {
    shared_fields(f);
    f.integer("block_size", block_size);
    f.integer("previous_blocks", previous_blocks, {0, 1 << 24});
    f.integers("full_attention_layers", full_attention_layers, {0, 1024});
  }
  bool sees_all(std::size_t layer) const {
    return std::ranges::find(full_attention_layers, static_cast<std::int64_t>(layer)) !=
           full_attention_layers.end();
  }
  /// [T, T]: nothing later, and nothing more than previous_blocks before the query's own block.
  at::Tensor local_mask(const at::Tensor& positions) const {
    const at::Tensor blocks = at::floor_divide(positions, block_size);
    return positions.le(positions.unsqueeze(1))
        .logical_and(blocks.ge(blocks.unsqueeze(1).sub(previous_blocks)));
  }
};

/// attention_types: [[["global", "local"], 6]] is the pair six times.
inline std::string gpt_neo_config(std::string_view text, std::string_view, const Shapes&) {
  auto config = nlohmann::json::parse(text, nullptr, false);
  if (!config.is_object() || config.contains("attention_layers") || !config.contains("attention_types"))
    return std::string(text);
  auto layers = nlohmann::json::array();
  try {
    for (const auto& entry : config["attention_types"])
      for (int n = 0; n < std::min(entry.at(1).get<int>(), 1024); ++n)
        for (const auto& kind : entry.at(0)) layers.push_back(kind);
  } catch (const nlohmann::json::exception&) {
    return std::string(text);  // what is no such list leaves the default
  }
  config["attention_layers"] = layers;
  return config.dump();
}

}  // namespace pollard::models
