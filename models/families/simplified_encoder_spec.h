// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/families/decoder_parts.h"

namespace pollard::models {

/// Cramming's configuration, flat, and which block.
struct SimplifiedEncoderSpec {
  std::int64_t vocab_size = 32768, max_seq_length = 128, hidden_size = 768, num_transformer_layers = 16;
  std::int64_t num_attention_heads = 12, intermed_size = 3072;  // rows of dense_in: twice the hidden units
  std::string block = "preln";
  bool norm_in_block = true;  // without, the first block keeps its norm
  double norm_eps = 1e-12;
  /// Columns of all heads' queries and rows of dense_in, one a layer: both may have been pruned.
  std::vector<std::int64_t> query_sizes, intermed_sizes;

  void fields(Fields& f) {
    f.integer("vocab_size", vocab_size);
    f.integer("max_seq_length", max_seq_length, {1, 1 << 20});
    f.integer("hidden_size", hidden_size, {2, 1 << 16});
    f.integer("num_transformer_layers", num_transformer_layers, {1, 1024});
    f.integer("num_attention_heads", num_attention_heads, {1, 1024});
    f.integer("intermed_size", intermed_size, {2, 1 << 20});
    f.text("block", block, {"preln", "sas", "sasp"});
    f.flag("norm_in_block", norm_in_block);
    f.real("norm_eps", norm_eps);
    f.require(hidden_size % 2 == 0, "hidden_size is even");
    f.require(hidden_size % num_attention_heads == 0, "num_attention_heads divides hidden_size");
    layer_sizes(f, "query_sizes", query_sizes, num_transformer_layers, hidden_size);
    layer_sizes(f, "intermed_sizes", intermed_sizes, num_transformer_layers, intermed_size);
    for (const std::int64_t width : query_sizes)
      f.require(width % num_attention_heads == 0, "num_attention_heads divides query_sizes");
    for (const std::int64_t rows : intermed_sizes) f.require(rows % 2 == 0, "intermed_sizes are even");
  }
  std::int64_t head_dim() const { return hidden_size / num_attention_heads; }
  bool shaped() const { return block != "preln"; }
};

}  // namespace pollard::models
