// SPDX-License-Identifier: Apache-2.0
#include "models/families/llama.h"

#include <ATen/ops/where.h>

#include <numbers>

#include "models/families/decoder_parts.h"
#include "models/families/llama_spec.h"
#include "models/layers/attention.h"
#include "models/layers/rotary.h"

namespace pollard::models {
namespace {

Bias bias_if(bool on) { return on ? Bias::Yes : Bias::No; }

/// Of wavelength w = 2 pi / f and with the original length P: f where w < P / high, f / factor where w > P / low,
/// and between the two a mean of both that follows P / w.
at::Tensor frequencies(const LlamaSpec& s) {
  const at::Tensor usual = rotary_frequencies(s.head_dim, s.rope_theta);
  if (s.rope_type == "default") return usual;
  const at::Tensor slow = usual.div(s.factor);
  if (s.rope_type == "linear") return slow;
  const auto length = static_cast<double>(s.original_max_position_embeddings);
  const at::Tensor turns = usual.mul(length / (2 * std::numbers::pi));  // P / w
  const at::Tensor part =
      turns.sub(s.low_freq_factor).div(s.high_freq_factor - s.low_freq_factor).clamp(0, 1);
  return slow.mul(part.neg().add(1)).add(usual.mul(part));
}

struct Attention : Module {
  Linear q_proj, k_proj, v_proj, o_proj;
  std::int64_t heads, key_heads;
  double dropout;
  explicit Attention(const LlamaSpec& s)
      : q_proj(s.hidden_size, s.num_attention_heads * s.head_dim, bias_if(s.attention_bias)),
        k_proj(s.hidden_size, s.num_key_value_heads * s.head_dim, bias_if(s.attention_bias)),
        v_proj(s.hidden_size, s.num_key_value_heads * s.head_dim, bias_if(s.attention_bias)),
        o_proj(s.num_attention_heads * s.head_dim, s.hidden_size, bias_if(s.attention_bias)),
        heads(s.num_attention_heads),
        key_heads(s.num_key_value_heads),
        dropout(s.attention_dropout) {
    children({{"q_proj", q_proj}, {"k_proj", k_proj}, {"v_proj", v_proj}, {"o_proj", o_proj}});
  }
  at::Tensor operator()(const at::Tensor& x, const Rotary& rotary, const Rotary::Angles& angles) const {
    return o_proj(merge_heads(
        attention(rotary(split_heads(q_proj(x), heads), angles),
                  rotary(split_heads(k_proj(x), key_heads), angles), split_heads(v_proj(x), key_heads),
                  {.dropout = training() ? dropout : 0, .causal = true, .grouped = heads != key_heads})));
  }
};

struct SwiGlu : Module {
  Linear gate_proj, up_proj, down_proj;
  Activation activation;
  explicit SwiGlu(const LlamaSpec& s)
      : gate_proj(s.hidden_size, s.intermediate_size, bias_if(s.mlp_bias)),
        up_proj(s.hidden_size, s.intermediate_size, bias_if(s.mlp_bias)),
        down_proj(s.intermediate_size, s.hidden_size, bias_if(s.mlp_bias)),
        activation(activation_from_name(s.hidden_act)) {
    children({{"gate_proj", gate_proj}, {"up_proj", up_proj}, {"down_proj", down_proj}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    return down_proj(activate(gate_proj(x), activation).mul(up_proj(x)));
  }
};

struct Block : Module {
  Attention self_attn;
  SwiGlu mlp;
  RMSNorm input_layernorm, post_attention_layernorm;
  explicit Block(const LlamaSpec& s)
      : self_attn(s),
        mlp(s),
        input_layernorm(s.hidden_size, s.rms_norm_eps),
        post_attention_layernorm(s.hidden_size, s.rms_norm_eps) {
    children({{"self_attn", self_attn},
              {"mlp", mlp},
              {"input_layernorm", input_layernorm},
              {"post_attention_layernorm", post_attention_layernorm}});
  }
  at::Tensor operator()(const at::Tensor& x, const Rotary& rotary, const Rotary::Angles& angles) const {
    const at::Tensor a = x.add(self_attn(input_layernorm(x), rotary, angles));
    return a.add(mlp(post_attention_layernorm(a)));
  }
};

class Llama : public Network {
 public:
  explicit Llama(LlamaSpec spec)
      : spec_(std::move(spec)),
        embed_tokens_(spec_.vocab_size, spec_.hidden_size),
        norm_(spec_.hidden_size, spec_.rms_norm_eps),
        rotary_(frequencies(spec_), Rotary::Pairs::Halves),
        head_(embed_tokens_, spec_.tie_word_embeddings, spec_.hidden_size) {
    while (std::ssize(blocks_) < spec_.num_hidden_layers) blocks_.emplace(spec_);
    children({{"model.embed_tokens", embed_tokens_},
              {"model.layers", blocks_},
              {"model.norm", norm_},
              {"model.rotary_emb", rotary_},
              {"lm_head", head_}});
    set_init(decoder_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& ids = inputs.at(0);
    at::Tensor x = embed_tokens_(ids);
    const Rotary::Angles exact = rotary_.angles(positions_of(ids));
    const Rotary::Angles angles{exact.cosine.to(x.scalar_type()), exact.sine.to(x.scalar_type())};
    tap("embeddings", x);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      x = blocks_[i](x, rotary_, angles);
      tap("layer " + std::to_string(i), x);
    }
    x = norm_(x);
    tap("final norm", x);
    return Result::dict({{"logits", head_(x)}});
  }

  std::vector<Example> examples() const override {
    return token_examples(spec_.vocab_size, spec_.max_position_embeddings);
  }

 private:
  LlamaSpec spec_;
  Embedding embed_tokens_;
  ModuleList<Block> blocks_;
  RMSNorm norm_;
  Rotary rotary_;
  LanguageHead head_;
};

}  // namespace

Family llama() {
  Family f = make_family<LlamaSpec, Llama>(
      "llama", "Llama language models: rotary positions, SwiGLU, grouped queries");
  f.published = {
      {"Llama-2-7B", "{}", 6'738'415'616},
      {"Llama-2-13B",
       R"({"hidden_size":5120,"num_hidden_layers":40,"num_attention_heads":40,"intermediate_size":13824})",
       13'015'864'320},
      {"Llama-3-8B",
       R"({"num_key_value_heads":8,"intermediate_size":14336,"vocab_size":128256,"rope_theta":500000.0,
           "max_position_embeddings":8192})",
       8'030'261'248}};
  f.small_specs = {
      R"({"vocab_size":97,"hidden_size":32,"intermediate_size":56,"num_hidden_layers":2,
                       "num_attention_heads":4,"max_position_embeddings":40})",
      R"({"vocab_size":97,"hidden_size":32,"intermediate_size":56,"num_hidden_layers":2,
                       "num_attention_heads":4,"num_key_value_heads":2,"rope_type":"llama3","factor":8,
                       "original_max_position_embeddings":16,"max_position_embeddings":40})",
      R"({"vocab_size":97,"hidden_size":32,"intermediate_size":56,"num_hidden_layers":1,"head_dim":16,
                       "num_attention_heads":4,"num_key_value_heads":1,"rope_type":"linear","factor":2,
                       "attention_bias":true,"mlp_bias":true,"tie_word_embeddings":true,"max_position_embeddings":40})"};
  f.golden_archs = {"llama*"};
  f.golden_taps = decoder_taps;
  f.spec_from_shapes = guess_llama;
  f.spec_from_config = llama_config;
  f.ignored = {"rotary_emb.inv_freq", "rotary_emb.original_inv_freq"};
  return f;
}

}  // namespace pollard::models
