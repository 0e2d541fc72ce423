// SPDX-License-Identifier: Apache-2.0
#include "models/families/gpt_neo.h"

#include <ATen/ops/dropout.h>

#include "models/families/gpt_neo_spec.h"
#include "models/layers/attention.h"

namespace pollard::models {
namespace {

struct Block : Module {
  LayerNorm ln_1, ln_2;
  Linear k_proj, v_proj, q_proj, out_proj, c_fc, c_proj;
  std::int64_t heads;
  Activation activation;
  double attention_dropout, resid_dropout;
  Block(const NeoSpec& s, std::size_t i)
      : ln_1(s.hidden_size, s.layer_norm_epsilon),
        ln_2(s.hidden_size, s.layer_norm_epsilon),
        k_proj(s.hidden_size, s.attention_sizes[i], Bias::No),
        v_proj(s.hidden_size, s.attention_sizes[i], Bias::No),
        q_proj(s.hidden_size, s.attention_sizes[i], Bias::No),
        out_proj(s.attention_sizes[i], s.hidden_size),
        c_fc(s.hidden_size, s.intermediate_sizes[i]),
        c_proj(s.intermediate_sizes[i], s.hidden_size),
        heads(s.attention_sizes[i] / s.head_dim()),
        activation(activation_from_name(s.activation_function)),
        attention_dropout(s.attention_dropout),
        resid_dropout(s.resid_dropout) {
    children({{"ln_1", ln_1},
              {"attn.attention.k_proj", k_proj},
              {"attn.attention.v_proj", v_proj},
              {"attn.attention.q_proj", q_proj},
              {"attn.attention.out_proj", out_proj},
              {"ln_2", ln_2},
              {"mlp.c_fc", c_fc},
              {"mlp.c_proj", c_proj}});
  }
  /// Without a mask: everything before the query.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& mask) const {
    const at::Tensor y = ln_1(x);
    const at::Tensor mixed =
        attention(split_heads(q_proj(y), heads), split_heads(k_proj(y), heads), split_heads(v_proj(y), heads),
                  {.mask = mask,
                   .dropout = training() ? attention_dropout : 0,
                   .causal = !mask.defined(),
                   .scale = 1.0});
    const at::Tensor a = x.add(dropped(out_proj(merge_heads(mixed))));
    return a.add(dropped(c_proj(activate(c_fc(ln_2(a)), activation))));
  }

 private:
  at::Tensor dropped(const at::Tensor& x) const { return at::dropout(x, resid_dropout, training()); }
};

template <class Spec>
class Neo : public Network {
 public:
  explicit Neo(Spec spec)
      : spec_(std::move(spec)),
        wte_(spec_.vocab_size, spec_.hidden_size),
        wpe_(spec_.max_position_embeddings, spec_.hidden_size),
        ln_f_(spec_.hidden_size, spec_.layer_norm_epsilon),
        head_(wte_, spec_.tie_word_embeddings, spec_.hidden_size) {
    while (std::ssize(blocks_) < spec_.num_layers) blocks_.emplace(spec_, blocks_.size());
    children({{"transformer.wte", wte_},
              {"transformer.wpe", wpe_},
              {"transformer.h", blocks_},
              {"transformer.ln_f", ln_f_},
              {"lm_head", head_}});
    set_init(decoder_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& ids = inputs.at(0);
    const at::Tensor positions = positions_of(ids);
    const at::Tensor local = spec_.local_mask(positions);
    at::Tensor x = at::dropout(wte_(ids).add(wpe_(positions)), spec_.embed_dropout, training());
    tap("embeddings", x);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      x = blocks_[i](x, spec_.sees_all(i) ? at::Tensor() : local);
      tap("layer " + std::to_string(i), x);
    }
    x = ln_f_(x);
    tap("final norm", x);
    return Result::dict({{"logits", head_(x)}});
  }

  std::vector<Example> examples() const override {
    return token_examples(spec_.vocab_size, spec_.max_position_embeddings);
  }

 private:
  Spec spec_;
  Embedding wte_, wpe_;
  ModuleList<Block> blocks_;
  LayerNorm ln_f_;
  LanguageHead head_;
};

template <class Spec>
std::string guess(const Shapes& shapes) {
  Spec s;
  s.guess(shapes);
  return spec_to_json(s);
}

void complete(Family& f) {
  f.golden_taps = [](std::string_view golden) -> std::vector<std::string> {
    if (golden.find("all hidden states") == std::string_view::npos) return decoder_taps(golden);
    return {"embeddings", "layer 0", "layer 1", "layer 2", "final norm"};
  };
  f.ignored = {".attn.attention.bias", ".attn.attention.masked_bias"};
}

}  // namespace

Family gpt_neo() {
  Family f = make_family<GptNeoSpec, Neo<GptNeoSpec>>("gpt_neo", "GPT-Neo language models");
  f.published = {{"gpt-neo-125m", "{}", 125'198'592},
                 {"gpt-neo-1.3B", R"({"hidden_size":2048,"num_layers":24,"num_heads":16})", 1'315'575'808},
                 {"gpt-neo-2.7B", R"({"hidden_size":2560,"num_layers":32,"num_heads":20})", 2'651'307'520}};
  f.small_specs = {
      R"({"vocab_size":97,"max_position_embeddings":40,"hidden_size":32,"num_layers":2,"num_heads":4,
                       "window_size":5,"attention_sizes":[32,16],"intermediate_sizes":[128,48]})",
      R"({"vocab_size":97,"max_position_embeddings":40,"hidden_size":32,"num_layers":1,"num_heads":2,
                       "attention_layers":["local"],"window_size":3,"tie_word_embeddings":false})"};
  f.golden_archs = {"gpt_neo*"};
  f.spec_from_shapes = guess<GptNeoSpec>;
  f.spec_from_config = gpt_neo_config;
  complete(f);
  return f;
}

Family masformer() {
  Family f =
      make_family<MasformerSpec, Neo<MasformerSpec>>("masformer", "GPT-Neo with mixed attention spans");
  f.small_specs = {
      R"({"vocab_size":97,"max_position_embeddings":40,"hidden_size":32,"num_layers":2,"num_heads":4,
                       "full_attention_layers":[0],"block_size":4})"};
  f.golden_archs = {"masformer*"};
  f.spec_from_shapes = guess<MasformerSpec>;
  complete(f);
  return f;
}

}  // namespace pollard::models
