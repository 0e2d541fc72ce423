// SPDX-License-Identifier: Apache-2.0
#include "models/families/gpt2.h"

#include <ATen/ops/dropout.h>

#include <algorithm>
#include <cmath>

#include "models/families/decoder_parts.h"
#include "models/layers/attention.h"

namespace pollard::models {
namespace {

struct Gpt2Spec {
  std::int64_t vocab_size = 50257, n_positions = 1024, n_embd = 768, n_layer = 12, n_head = 12;
  std::int64_t n_inner = 0;  // 0 = 4 n_embd
  std::string activation_function = "gelu_new";
  double layer_norm_epsilon = 1e-5, embd_pdrop = 0.1, attn_pdrop = 0.1, resid_pdrop = 0.1;
  bool scale_attn_weights = true, scale_attn_by_inverse_layer_idx = false, tie_word_embeddings = true;
  /// Width of q and of the feed-forward part, one a layer: heads and units may have been pruned.
  std::vector<std::int64_t> attention_sizes, inner_sizes;

  void fields(Fields& f) {
    f.integer("vocab_size", vocab_size);
    f.integer("n_positions", n_positions);
    f.integer("n_embd", n_embd, {1, 1 << 16});
    f.integer("n_layer", n_layer, {1, 1024});
    f.integer("n_head", n_head, {1, 1024});
    f.integer("n_inner", n_inner, {0, 1 << 20});
    f.text("activation_function", activation_function, {"gelu_new", "gelu", "relu", "silu", "tanh"});
    f.real("layer_norm_epsilon", layer_norm_epsilon);
    f.real("embd_pdrop", embd_pdrop);
    f.real("attn_pdrop", attn_pdrop);
    f.real("resid_pdrop", resid_pdrop);
    f.flag("scale_attn_weights", scale_attn_weights);
    f.flag("scale_attn_by_inverse_layer_idx", scale_attn_by_inverse_layer_idx);
    f.flag("tie_word_embeddings", tie_word_embeddings);
    f.require(n_embd % n_head == 0, "n_head divides n_embd");
    if (n_inner == 0) n_inner = 4 * n_embd;
    layer_sizes(f, "attention_sizes", attention_sizes, n_layer, n_embd);
    layer_sizes(f, "inner_sizes", inner_sizes, n_layer, n_inner);
    for (const std::int64_t width : attention_sizes)
      f.require(width % head_dim() == 0, "attention_sizes are multiples of the head width");
  }
  std::int64_t head_dim() const { return std::max<std::int64_t>(1, n_embd / n_head); }
};

struct Block : Module {
  LayerNorm ln_1, ln_2;
  Conv1DLinear c_attn, attn_proj, c_fc, mlp_proj;
  std::int64_t heads;
  std::optional<double> scale;  // none = 1 / sqrt(head width)
  Activation activation;
  double attn_pdrop, resid_pdrop;
  Block(const Gpt2Spec& s, std::size_t i)
      : ln_1(s.n_embd, s.layer_norm_epsilon),
        ln_2(s.n_embd, s.layer_norm_epsilon),
        c_attn(s.n_embd, 3 * s.attention_sizes[i]),
        attn_proj(s.attention_sizes[i], s.n_embd),
        c_fc(s.n_embd, s.inner_sizes[i]),
        mlp_proj(s.inner_sizes[i], s.n_embd),
        heads(s.attention_sizes[i] / s.head_dim()),
        activation(activation_from_name(s.activation_function)),
        attn_pdrop(s.attn_pdrop),
        resid_pdrop(s.resid_pdrop) {
    children({{"ln_1", ln_1},
              {"attn.c_attn", c_attn},
              {"attn.c_proj", attn_proj},
              {"ln_2", ln_2},
              {"mlp.c_fc", c_fc},
              {"mlp.c_proj", mlp_proj}});
    if (s.scale_attn_weights && !s.scale_attn_by_inverse_layer_idx) return;
    const double full = s.scale_attn_weights ? 1 / std::sqrt(static_cast<double>(s.head_dim())) : 1;
    scale = s.scale_attn_by_inverse_layer_idx ? full / static_cast<double>(i + 1) : full;
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const auto qkv = c_attn(ln_1(x)).chunk(3, -1);
    const at::Tensor mixed =
        attention(split_heads(qkv[0], heads), split_heads(qkv[1], heads), split_heads(qkv[2], heads),
                  {.dropout = training() ? attn_pdrop : 0, .causal = true, .scale = scale});
    const at::Tensor a = x.add(dropped(attn_proj(merge_heads(mixed))));
    return a.add(dropped(mlp_proj(activate(c_fc(ln_2(a)), activation))));
  }

 private:
  at::Tensor dropped(const at::Tensor& x) const { return at::dropout(x, resid_pdrop, training()); }
};

class Gpt2 : public Network {
 public:
  explicit Gpt2(Gpt2Spec spec)
      : spec_(std::move(spec)),
        wte_(spec_.vocab_size, spec_.n_embd),
        wpe_(spec_.n_positions, spec_.n_embd),
        ln_f_(spec_.n_embd, spec_.layer_norm_epsilon),
        head_(wte_, spec_.tie_word_embeddings, spec_.n_embd) {
    while (std::ssize(blocks_) < spec_.n_layer) blocks_.emplace(spec_, blocks_.size());
    children({{"transformer.wte", wte_},
              {"transformer.wpe", wpe_},
              {"transformer.h", blocks_},
              {"transformer.ln_f", ln_f_},
              {"lm_head", head_}});
    set_init([layers = static_cast<double>(spec_.n_layer)](const std::string& key, at::IntArrayRef shape) {
      if (key.ends_with("c_proj.weight")) return std::optional(Init::normal(0.02 / std::sqrt(2 * layers)));
      return decoder_init(key, shape);
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& ids = inputs.at(0);
    at::Tensor x = at::dropout(wte_(ids).add(wpe_(positions_of(ids))), spec_.embd_pdrop, training());
    tap("embeddings", x);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      x = blocks_[i](x);
      tap("layer " + std::to_string(i), x);
    }
    x = ln_f_(x);
    tap("final norm", x);
    return Result::dict({{"logits", head_(x)}});
  }

  std::vector<Example> examples() const override {
    return token_examples(spec_.vocab_size, spec_.n_positions);
  }

 private:
  Gpt2Spec spec_;
  Embedding wte_, wpe_;
  ModuleList<Block> blocks_;
  LayerNorm ln_f_;
  LanguageHead head_;
};

/// Heads do not show in the shapes: all published sizes have 64 a head.
std::string guess(const Shapes& shapes) {
  Gpt2Spec s;
  s.vocab_size = shapes.dim("transformer.wte.weight", 0);
  s.n_embd = shapes.dim("transformer.wte.weight", 1);
  s.n_positions = shapes.dim("transformer.wpe.weight", 0);
  s.n_layer = shapes.count("transformer.h.", ".attn.c_attn.weight");
  s.n_head = std::max<std::int64_t>(1, s.n_embd / 64);
  for (std::int64_t i = 0; i < s.n_layer; ++i) {
    const std::string block = "transformer.h." + std::to_string(i);
    s.attention_sizes.push_back(shapes.dim(block + ".attn.c_attn.weight", 1) / 3);
    s.inner_sizes.push_back(shapes.dim(block + ".mlp.c_fc.weight", 1));
  }
  s.n_inner = shapes.dim("transformer.h.0.mlp.c_fc.weight", 1);
  s.tie_word_embeddings =
      !shapes.has("lm_head.weight") || shapes.same("transformer.wte.weight", "lm_head.weight");
  return spec_to_json(s);
}

/// The first files of GPT-2 are of the network without its head.
std::string rename(const std::string& key) {
  for (const char* name : {"wte.", "wpe.", "h.", "ln_f."})
    if (key.starts_with(name)) return "transformer." + key;
  return key;
}

}  // namespace

Family gpt2() {
  Family f = make_family<Gpt2Spec, Gpt2>("gpt2", "GPT-2 language models");
  f.published = {{"distilgpt2", R"({"n_layer":6})", 81'912'576},
                 {"gpt2", "{}", 124'439'808},
                 {"gpt2-medium", R"({"n_embd":1024,"n_layer":24,"n_head":16})", 354'823'168},
                 {"gpt2-large", R"({"n_embd":1280,"n_layer":36,"n_head":20})", 774'030'080},
                 {"gpt2-xl", R"({"n_embd":1600,"n_layer":48,"n_head":25})", 1'557'611'200}};
  f.small_specs = {
      R"({"vocab_size":97,"n_positions":40,"n_embd":32,"n_layer":2,"n_head":4,"attention_sizes":[32,16],
                       "inner_sizes":[128,48]})",
      R"({"vocab_size":97,"n_positions":40,"n_embd":32,"n_layer":2,"n_head":2,"n_inner":48,
                       "tie_word_embeddings":false,"scale_attn_by_inverse_layer_idx":true})"};
  f.golden_archs = {"gpt2*", "distilgpt2"};
  f.golden_taps = decoder_taps;
  f.spec_from_shapes = guess;
  f.rename = rename;
  f.ignored = {".attn.bias", ".attn.masked_bias"};
  return f;
}

}  // namespace pollard::models
