// SPDX-License-Identifier: Apache-2.0
#include "models/families/oneformer_text.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/sigmoid.h>

namespace pollard::models {

TextMapper::Layer::Layer(const OneformerSpec& s)
    : self_attn(s.text_encoder_width, s.text_encoder_width / 64),
      layer_norm1(s.text_encoder_width, s.layer_norm_eps),
      layer_norm2(s.text_encoder_width, s.layer_norm_eps),
      fc1(s.text_encoder_width, 4 * s.text_encoder_width),
      fc2(4 * s.text_encoder_width, s.text_encoder_width) {
  children({{"self_attn", self_attn}, {"layer_norm1", layer_norm1}, {"mlp.fc1", fc1}, {"mlp.fc2", fc2}});
  child("layer_norm2", layer_norm2);
}

at::Tensor TextMapper::Layer::operator()(const at::Tensor& x) const {
  const at::Tensor y = x.add(self_attn(layer_norm1(x)));
  const at::Tensor hidden = fc1(layer_norm2(y));
  return y.add(fc2(hidden.mul(at::sigmoid(hidden.mul(1.702)))));
}

TextMapper::TextMapper(const OneformerSpec& s)
    : token_embedding_(s.text_encoder_vocab_size, s.text_encoder_width),
      ln_final_(s.text_encoder_width, s.layer_norm_eps),
      text_projector_(s.text_encoder_width, s.hidden_dim, s.hidden_dim, s.text_encoder_proj_layers) {
  parameter("text_encoder.positional_embedding", positional_embedding_,
            {s.text_encoder_context_length, s.text_encoder_width});
  for (std::int64_t i = 0; i < s.text_encoder_num_layers; ++i) layers_.emplace(s);
  children({{"text_encoder.transformer.layers", layers_},
            {"text_encoder.ln_final", ln_final_},
            {"text_encoder.token_embedding", token_embedding_},
            {"text_projector", text_projector_}});
  if (s.text_encoder_n_ctx > 0)
    child("prompt_ctx", prompt_ctx_.emplace(s.text_encoder_n_ctx, s.text_encoder_width));
}

at::Tensor TextMapper::operator()(const at::Tensor& ids) const {
  const std::int64_t batch = ids.size(0), texts = ids.size(1), length = ids.size(2);
  const at::Tensor flat = ids.view({batch * texts, length});
  at::Tensor x = token_embedding_(flat).add(positional_embedding_);
  for (const auto& layer : layers_) x = (*layer)(x);
  x = ln_final_(x);
  const at::Tensor end =
      at::argmax(flat, 1).view({batch * texts, 1, 1}).expand({batch * texts, 1, x.size(2)});
  x = text_projector_(at::gather(x, 1, end).squeeze(1));
  x = x.view({batch, texts, x.size(1)});
  if (!prompt_ctx_) return x;
  return at::cat({x, prompt_ctx_->weight.unsqueeze(0).expand({batch, prompt_ctx_->count, x.size(2)})}, 1);
}

}  // namespace pollard::models
