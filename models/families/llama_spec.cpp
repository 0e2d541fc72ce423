// SPDX-License-Identifier: Apache-2.0
#include "models/families/llama_spec.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace pollard::models {

std::string llama_config(std::string_view text, std::string_view, const Shapes&) {
  auto config = nlohmann::json::parse(text, nullptr, false);
  if (!config.is_object()) return std::string(text);
  for (const char* nested : {"rope_scaling", "rope_parameters"}) {
    const auto found = config.find(nested);
    if (found == config.end() || !found->is_object()) continue;
    const nlohmann::json fields = *found;
    if (fields.contains("type")) config["rope_type"] = fields["type"];  // before transformers 4.45
    for (const char* name : {"rope_type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor",
                             "original_max_position_embeddings"})
      if (fields.contains(name)) config[name] = fields[name];
  }
  return config.dump();
}

std::string guess_llama(const Shapes& shapes) {
  LlamaSpec s;
  s.vocab_size = shapes.dim("model.embed_tokens.weight", 0);
  s.hidden_size = shapes.dim("model.embed_tokens.weight", 1);
  s.num_hidden_layers = shapes.count("model.layers.", ".mlp.gate_proj.weight");
  s.intermediate_size = shapes.dim("model.layers.0.mlp.gate_proj.weight", 0);
  const std::int64_t query = shapes.dim("model.layers.0.self_attn.q_proj.weight", 0);
  const std::int64_t key = shapes.dim("model.layers.0.self_attn.k_proj.weight", 0);
  s.head_dim = std::min<std::int64_t>(s.hidden_size > 2048 ? 128 : 64, key / 2 * 2);
  s.num_attention_heads = std::max<std::int64_t>(1, query / std::max<std::int64_t>(1, s.head_dim));
  s.num_key_value_heads = std::max<std::int64_t>(1, key / std::max<std::int64_t>(1, s.head_dim));
  s.attention_bias = shapes.has("model.layers.0.self_attn.q_proj.bias");
  s.mlp_bias = shapes.has("model.layers.0.mlp.gate_proj.bias");
  s.tie_word_embeddings =
      !shapes.has("lm_head.weight") || shapes.same("model.embed_tokens.weight", "lm_head.weight");
  return spec_to_json(s);
}

}  // namespace pollard::models
