// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "models/family.h"

namespace pollard::models {

/// transformers' LlamaConfig, with the fields of its nested rope_parameters beside the others.
struct LlamaSpec {
  std::int64_t vocab_size = 32000, hidden_size = 4096, intermediate_size = 11008, num_hidden_layers = 32;
  std::int64_t num_attention_heads = 32;
  std::int64_t num_key_value_heads = 0;  ///< 0 = num_attention_heads
  std::int64_t head_dim = 0;             ///< 0 = hidden_size / num_attention_heads
  std::int64_t max_position_embeddings = 4096;
  std::string hidden_act = "silu";
  double rms_norm_eps = 1e-5, attention_dropout = 0;
  bool attention_bias = false, mlp_bias = false, tie_word_embeddings = false;
  // Rotary positions: "linear" divides all frequencies by factor, "llama3" those of long wavelengths.
  std::string rope_type = "default";
  double rope_theta = 1e4, factor = 1, low_freq_factor = 1, high_freq_factor = 4;
  std::int64_t original_max_position_embeddings = 8192;

  void fields(Fields& f) {
    f.integer("vocab_size", vocab_size);
    f.integer("hidden_size", hidden_size, {1, 1 << 16});
    f.integer("intermediate_size", intermediate_size, {1, 1 << 20});
    f.integer("num_hidden_layers", num_hidden_layers, {1, 4096});
    f.integer("num_attention_heads", num_attention_heads, {1, 1024});
    f.integer("num_key_value_heads", num_key_value_heads, {0, 1024});
    f.integer("head_dim", head_dim, {0, 1 << 16});
    f.integer("max_position_embeddings", max_position_embeddings, {1, 1 << 28});
    f.text("hidden_act", hidden_act, {"silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu"});
    f.real("rms_norm_eps", rms_norm_eps);
    f.real("attention_dropout", attention_dropout);
    f.flag("attention_bias", attention_bias);
    f.flag("mlp_bias", mlp_bias);
    f.flag("tie_word_embeddings", tie_word_embeddings);
    f.text("rope_type", rope_type, {"default", "linear", "llama3"});
    f.real("rope_theta", rope_theta);
    f.real("factor", factor);
    f.real("low_freq_factor", low_freq_factor);
    f.real("high_freq_factor", high_freq_factor);
    f.integer("original_max_position_embeddings", original_max_position_embeddings, {1, 1 << 28});
    if (num_key_value_heads == 0) num_key_value_heads = num_attention_heads;
    if (head_dim == 0) head_dim = hidden_size / num_attention_heads;
    f.require(num_attention_heads % num_key_value_heads == 0,
              "num_key_value_heads divides num_attention_heads");
    f.require(head_dim > 0 && head_dim % 2 == 0, "head_dim is even");
    f.require(rope_theta > 0 && factor > 0 && high_freq_factor > low_freq_factor && low_freq_factor > 0,
              "rope_theta, factor and low_freq_factor < high_freq_factor are positive");
  }
};

/// A config.json's fields, with what rope_parameters (or, before transformers 5, rope_scaling) holds beside them.
std::string llama_config(std::string_view config_json, std::string_view arch, const Shapes& shapes);

/// Sizes as far as names and shapes tell. Heads do not show: 64 wide up to width 2048, else 128.
std::string guess_llama(const Shapes& shapes);

}  // namespace pollard::models
