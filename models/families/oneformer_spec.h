// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "models/layers/windows.h"
#include "models/spec.h"

namespace pollard::models {

/// OneFormer's configuration. The backbone's fields, nested in the reference's file, stand beside the others.
/// One width serves pixels, masks and queries: the reference cannot run with different ones.
struct OneformerSpec {
  std::int64_t image_size = 224, patch_size = 4, window_size = 7, embed_dim = 96;
  std::vector<std::int64_t> depths{2, 2, 6, 2}, num_heads{3, 6, 12, 24};
  double mlp_ratio = 4, drop_path_rate = 0.3;
  bool backbone_layernorm = true;  ///< files hold a last norm of the backbone, which nothing reads
  std::int64_t hidden_dim = 256, conv_dim = 256, mask_dim = 256, num_attention_heads = 8;
  std::int64_t num_queries = 150, num_labels = 150, task_seq_len = 77;
  std::int64_t encoder_layers = 6, encoder_feedforward_dim = 1024;
  std::int64_t decoder_layers = 10, query_dec_layers = 2,
               dim_feedforward = 2048;  ///< one layer less is built
  bool pre_norm = false, use_task_norm = true, is_training = false;
  double dropout = 0.1, layer_norm_eps = 1e-5;
  // The text mapper, present when is_training.
  std::int64_t text_encoder_width = 256, text_encoder_context_length = 77, text_encoder_num_layers = 6;
  std::int64_t text_encoder_vocab_size = 49408, text_encoder_proj_layers = 2, text_encoder_n_ctx = 16;

  static constexpr std::int64_t kLevels = 3;  ///< maps the pixel decoder attends over: 1/32, 1/16, 1/8
  static constexpr std::int64_t kPoints = 4;  ///< samples of each, for each head
  static constexpr std::int64_t kGroups = 32;

  void fields(Fields& f) {
    f.integer("image_size", image_size, {32, 1 << 13});
    f.integer("patch_size", patch_size, {1, 64});
    f.integer("window_size", window_size, {2, 64});
    f.integer("embed_dim", embed_dim, {1, 1 << 13});
    f.integers("depths", depths, {1, 256}, 4);
    f.integers("num_heads", num_heads, {1, 1024}, 4);
    f.real("mlp_ratio", mlp_ratio);
    f.real("drop_path_rate", drop_path_rate);
    f.flag("backbone_layernorm", backbone_layernorm);
    f.integer("hidden_dim", hidden_dim, {32, 1 << 13});
    f.integer("conv_dim", conv_dim, {32, 1 << 13});
    f.integer("mask_dim", mask_dim, {32, 1 << 13});
    f.integer("num_attention_heads", num_attention_heads, {1, 1024});
    f.integer("num_queries", num_queries, {2, 1 << 16});
    f.integer("num_labels", num_labels, {1, 1 << 16});
    f.integer("task_seq_len", task_seq_len, {1, 1 << 16});
    f.integer("encoder_layers", encoder_layers, {1, 256});
    f.integer("encoder_feedforward_dim", encoder_feedforward_dim, {1, 1 << 16});
    f.integer("decoder_layers", decoder_layers, {2, 256});
    f.integer("query_dec_layers", query_dec_layers, {1, 256});
    f.integer("dim_feedforward", dim_feedforward, {1, 1 << 16});
    f.flag("pre_norm", pre_norm);
    f.flag("use_task_norm", use_task_norm);
    f.flag("is_training", is_training);
    f.real("dropout", dropout);
    f.real("layer_norm_eps", layer_norm_eps);
    text_fields(f);
    f.require(depths.size() == 4 && num_heads.size() == 4, "depths and num_heads have four entries");
    for (std::size_t i = 0; i < num_heads.size(); ++i)
      f.require(width(i) % num_heads[i] == 0, "num_heads divides the stage's width");
    f.require(mlp_ratio > 0 && mlp_ratio <= 64, "mlp_ratio lies in (0, 64]");
    f.require(conv_dim == hidden_dim && mask_dim == hidden_dim,
              "conv_dim, mask_dim and hidden_dim are equal");
    f.require(hidden_dim % kGroups == 0, "hidden_dim is divisible by 32");
    f.require(hidden_dim % num_attention_heads == 0, "num_attention_heads divides hidden_dim");
  }
  std::int64_t width(std::size_t stage) const { return embed_dim << stage; }
  /// The side of a stage's map of an image of image_size.
  std::int64_t side(std::size_t stage) const {
    std::int64_t side = (image_size + patch_size - 1) / patch_size;
    for (std::size_t i = 0; i < stage; ++i) side = (side + 1) / 2;
    return side;
  }

 private:
  void text_fields(Fields& f) {
    f.integer("text_encoder_width", text_encoder_width, {1, 1 << 13});
    f.integer("text_encoder_context_length", text_encoder_context_length, {1, 1 << 16});
    f.integer("text_encoder_num_layers", text_encoder_num_layers, {1, 256});
    f.integer("text_encoder_vocab_size", text_encoder_vocab_size, {2, 1 << 22});
    f.integer("text_encoder_proj_layers", text_encoder_proj_layers, {1, 64});
    f.integer("text_encoder_n_ctx", text_encoder_n_ctx, {0, 1 << 16});
    f.require(!is_training || text_encoder_width % 64 == 0, "text_encoder_width is divisible by 64");
    f.require(!is_training || text_encoder_n_ctx == 0 || text_encoder_width == hidden_dim,
              "with text_encoder_n_ctx, text_encoder_width is hidden_dim");
    f.require(!is_training || text_encoder_n_ctx < num_queries,
              "text_encoder_n_ctx is less than num_queries");
  }
};

}  // namespace pollard::models
