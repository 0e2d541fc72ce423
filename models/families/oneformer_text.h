// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/families/oneformer_decoder.h"

namespace pollard::models {

/// OneFormer's text mapper: a transformer over each text, its token with the largest id (the end) projected, learned
/// context queries after them.
class TextMapper : public Module {
 public:
  explicit TextMapper(const OneformerSpec& spec);
  /// ids [B, texts, length] -> [B, texts + n_ctx, C].
  at::Tensor operator()(const at::Tensor& ids) const;

 private:
  /// x += attention(norm x); x += fc2(quick_gelu(fc1(norm x))), quick_gelu(x) = x sigmoid(1.702 x).
  struct Layer : Module {
    MultiheadAttention self_attn;
    LayerNorm layer_norm1, layer_norm2;
    Linear fc1, fc2;
    explicit Layer(const OneformerSpec& s);
    at::Tensor operator()(const at::Tensor& x) const;
  };

  at::Tensor positional_embedding_;
  Embedding token_embedding_;
  ModuleList<Layer> layers_;
  LayerNorm ln_final_;
  PredictionMlp text_projector_;
  std::optional<Embedding> prompt_ctx_;
};

}  // namespace pollard::models
