// SPDX-License-Identifier: Apache-2.0
#include "models/families/gptj.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>

#include <algorithm>

#include "models/families/decoder_parts.h"
#include "models/layers/attention.h"
#include "models/layers/rotary.h"

namespace pollard::models {
namespace {

struct GptjSpec {
  std::int64_t vocab_size = 50400, n_positions = 2048, n_embd = 4096, n_layer = 28, n_head = 16,
               rotary_dim = 64;
  std::int64_t n_inner = 0;  // 0 = 4 n_embd
  std::string activation_function = "gelu_new";
  double layer_norm_epsilon = 1e-5, embd_pdrop = 0, attn_pdrop = 0, resid_pdrop = 0;
  bool tie_word_embeddings = false;
  std::vector<std::int64_t> attention_sizes, inner_sizes;  // one a layer: parts may have been pruned

  void fields(Fields& f) {
    f.integer("vocab_size", vocab_size);
    f.integer("n_positions", n_positions);
    f.integer("n_embd", n_embd, {1, 1 << 16});
    f.integer("n_layer", n_layer, {1, 1024});
    f.integer("n_head", n_head, {1, 1024});
    f.integer("rotary_dim", rotary_dim, {2, 1 << 16});
    f.integer("n_inner", n_inner, {0, 1 << 20});
    f.text("activation_function", activation_function, {"gelu_new", "gelu", "relu", "silu", "tanh"});
    f.real("layer_norm_epsilon", layer_norm_epsilon);
    f.real("embd_pdrop", embd_pdrop);
    f.real("attn_pdrop", attn_pdrop);
    f.real("resid_pdrop", resid_pdrop);
    f.flag("tie_word_embeddings", tie_word_embeddings);
    f.require(n_embd % n_head == 0, "n_head divides n_embd");
    f.require(rotary_dim % 2 == 0 && rotary_dim <= head_dim(), "rotary_dim is even and within a head");
    if (n_inner == 0) n_inner = 4 * n_embd;
    layer_sizes(f, "attention_sizes", attention_sizes, n_layer, n_embd);
    layer_sizes(f, "inner_sizes", inner_sizes, n_layer, n_inner);
    for (const std::int64_t width : attention_sizes)
      f.require(width % head_dim() == 0, "attention_sizes are multiples of the head width");
  }
  std::int64_t head_dim() const { return std::max<std::int64_t>(1, n_embd / n_head); }
};

struct Block : Module {
  LayerNorm ln_1;
  Linear k_proj, v_proj, q_proj, out_proj, fc_in, fc_out;
  std::int64_t heads, rotary_dim, head_dim;
  Activation activation;
  double attn_pdrop, resid_pdrop;
  Block(const GptjSpec& s, std::size_t i)
      : ln_1(s.n_embd, s.layer_norm_epsilon),
        k_proj(s.n_embd, s.attention_sizes[i], Bias::No),
        v_proj(s.n_embd, s.attention_sizes[i], Bias::No),
        q_proj(s.n_embd, s.attention_sizes[i], Bias::No),
        out_proj(s.attention_sizes[i], s.n_embd, Bias::No),
        fc_in(s.n_embd, s.inner_sizes[i]),
        fc_out(s.inner_sizes[i], s.n_embd),
        heads(s.attention_sizes[i] / s.head_dim()),
        rotary_dim(s.rotary_dim),
        head_dim(s.head_dim()),
        activation(activation_from_name(s.activation_function)),
        attn_pdrop(s.attn_pdrop),
        resid_pdrop(s.resid_pdrop) {
    children({{"ln_1", ln_1},
              {"attn.k_proj", k_proj},
              {"attn.v_proj", v_proj},
              {"attn.q_proj", q_proj},
              {"attn.out_proj", out_proj},
              {"mlp.fc_in", fc_in},
              {"mlp.fc_out", fc_out}});
  }
  at::Tensor operator()(const at::Tensor& x, const Rotary& rotary, const Rotary::Angles& angles) const {
    const at::Tensor y = ln_1(x);
    const auto turned = [&](const at::Tensor& all) {
      if (rotary_dim == head_dim) return rotary(all, angles);
      return at::cat({rotary(all.slice(-1, 0, rotary_dim), angles), all.slice(-1, rotary_dim)}, -1);
    };
    const at::Tensor mixed =
        attention(turned(split_heads(q_proj(y), heads)), turned(split_heads(k_proj(y), heads)),
                  split_heads(v_proj(y), heads), {.dropout = training() ? attn_pdrop : 0, .causal = true});
    const at::Tensor fed = dropped(fc_out(activate(fc_in(y), activation)));
    return dropped(out_proj(merge_heads(mixed))).add(fed).add(x);
  }

 private:
  at::Tensor dropped(const at::Tensor& x) const { return at::dropout(x, resid_pdrop, training()); }
};

class Gptj : public Network {
 public:
  explicit Gptj(GptjSpec spec)
      : spec_(std::move(spec)),
        wte_(spec_.vocab_size, spec_.n_embd),
        rotary_(spec_.rotary_dim, 1e4, Rotary::Pairs::Neighbours),
        ln_f_(spec_.n_embd, spec_.layer_norm_epsilon),
        head_(wte_, spec_.tie_word_embeddings, spec_.n_embd, Bias::Yes) {
    while (std::ssize(blocks_) < spec_.n_layer) blocks_.emplace(spec_, blocks_.size());
    children({{"transformer.wte", wte_},
              {"transformer.h", blocks_},
              {"transformer.ln_f", ln_f_},
              {"transformer.rotary", rotary_},
              {"lm_head", head_}});
    set_init(decoder_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& ids = inputs.at(0);
    const Rotary::Angles angles = rotary_.angles(positions_of(ids));
    at::Tensor x = at::dropout(wte_(ids), spec_.embd_pdrop, training());
    tap("embeddings", x);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      x = blocks_[i](x, rotary_, angles);
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
  GptjSpec spec_;
  Embedding wte_;
  Rotary rotary_;
  ModuleList<Block> blocks_;
  LayerNorm ln_f_;
  LanguageHead head_;
};

/// Heads do not show in the shapes: the published size has 256 a head.
std::string guess(const Shapes& shapes) {
  GptjSpec s;
  s.vocab_size = shapes.dim("transformer.wte.weight", 0);
  s.n_embd = shapes.dim("transformer.wte.weight", 1);
  s.n_layer = shapes.count("transformer.h.", ".mlp.fc_in.weight");
  s.n_head = std::max<std::int64_t>(1, s.n_embd / 256);
  s.rotary_dim = std::min<std::int64_t>(64, s.head_dim() / 2 * 2);
  for (std::int64_t i = 0; i < s.n_layer; ++i) {
    const std::string block = "transformer.h." + std::to_string(i);
    s.attention_sizes.push_back(shapes.dim(block + ".attn.q_proj.weight", 0));
    s.inner_sizes.push_back(shapes.dim(block + ".mlp.fc_in.weight", 0));
  }
  s.n_inner = shapes.dim("transformer.h.0.mlp.fc_in.weight", 0);
  s.tie_word_embeddings = !shapes.has("lm_head.weight");
  return spec_to_json(s);
}

}  // namespace

Family gptj() {
  Family f = make_family<GptjSpec, Gptj>("gptj", "GPT-J language models: parallel blocks, rotary positions");
  f.published = {{"gpt-j-6B", "{}", 6'050'882'784}};
  f.small_specs = {R"({"vocab_size":97,"n_positions":40,"n_embd":32,"n_layer":2,"n_head":4,"rotary_dim":4,
                       "attention_sizes":[32,16],"inner_sizes":[128,48]})",
                   R"({"vocab_size":97,"n_positions":40,"n_embd":32,"n_layer":1,"n_head":4,"rotary_dim":8})"};
  f.golden_archs = {"gptj*"};
  f.golden_taps = decoder_taps;
  f.spec_from_shapes = guess;
  f.ignored = {".attn.bias", ".attn.masked_bias", ".attn.embed_positions"};
  return f;
}

}  // namespace pollard::models
