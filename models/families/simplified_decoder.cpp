// SPDX-License-Identifier: Apache-2.0
#include "models/families/simplified_decoder.h"

#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sqrt.h>

#include <cmath>

#include "models/families/simplified_decoder_spec.h"
#include "models/layers/attention.h"
#include "models/layers/shaped_attention.h"

namespace pollard::models {
namespace {

using Spec = SimplifiedDecoderSpec;
constexpr double kEps = 1e-5;

/// scale * x / (rms(x) + eps), the root-mean-square over the last dimension; eps outside the root.
struct ScaleNorm : Module {
  at::Tensor scale;
  explicit ScaleNorm(std::int64_t width) { parameter("scale", scale, {width}, Init::ones()); }
  at::Tensor operator()(const at::Tensor& x) const {
    return x.div(at::sqrt(x.square().mean(-1, true)).add(kEps)).mul(scale);
  }
};

/// A block's norm. Without norms the first block has a LayerNorm all the same; x itself elsewhere.
struct Norm : Module {
  std::optional<ScaleNorm> root;
  std::optional<LayerNorm> layer;
  Norm(const Spec& s, bool first) {
    if (s.norm_type == "rmsnorm") child("", root.emplace(s.d));
    if (s.norm_type == "ln" || (s.norm_type == "none" && first)) child("", layer.emplace(s.d, kEps));
  }
  at::Tensor operator()(const at::Tensor& x) const { return root ? (*root)(x) : layer ? (*layer)(x) : x; }
};

/// v_attn and c_proj: x W + b, or x (resid W + skip I) + b, or nothing.
struct Mixing : Module {
  Spec::Mixer kind;
  at::Tensor weight, bias, resid_gain, skip_gain;
  Mixing(Spec::Mixer k, std::int64_t width, double resid, double skip) : kind(k) {
    if (kind == Spec::Mixer::Identity) return;
    const bool skips = kind == Spec::Mixer::Skip;
    parameter("weight", weight, {width, width}, skips ? Init::zeros() : Init::normal(0.02));
    parameter("bias", bias, {width});
    if (!skips) return;
    parameter("resid_gain", resid_gain, {1}, Init::constant(resid));
    parameter("skip_gain", skip_gain, {1}, Init::constant(skip));
  }
  at::Tensor operator()(const at::Tensor& x) const {
    if (kind == Spec::Mixer::Identity) return x;
    if (kind == Spec::Mixer::Full) return x.matmul(weight).add(bias);
    return skip_linear(x, weight, false, resid_gain, skip_gain).add(bias);
  }
};

/// N(0, 0.02) with the query columns 0: all positions look alike to a fresh network.
void blind_queries(at::Tensor& weight, const at::Generator& generator) {
  weight.normal_(0, 0.02, generator);
  weight.narrow(1, 0, weight.size(1) / 2).zero_();
}

ShapedAttention::Options attention_options(const Spec& s) {
  return {.centred = s.centre_attn,
          .resid = s.attn_mat_resid_gain,
          .skip = s.attn_mat_skip_gain,
          .centre = s.centre_attn_gain,
          .scale = std::sqrt(static_cast<double>(s.d / s.h)),
          .limit = s.dot_norm_type == "tanh" ? 30.0 : 0.0};
}

struct Attention : Module {
  std::int64_t heads;
  ShapedAttention shaped;
  Conv1DLinear qk_attn;
  Mixing v_attn, c_proj;
  std::optional<ScaleNorm> q_norm, k_norm;
  Attention(const Spec& s, std::int64_t i)
      : heads(s.h),
        shaped(s.h, attention_options(s)),
        qk_attn(s.d, 2 * s.query_sizes[static_cast<std::size_t>(i)]),
        v_attn(s.value(i), s.d, s.value_resid(i), s.value_skip_gain),
        c_proj(s.proj(i), s.d, s.proj_resid(i), s.proj_skip_gain) {
    children({{"", shaped}, {"qk_attn", qk_attn}, {"v_attn", v_attn}, {"c_proj", c_proj}});
    if (s.qk_norm_type == "none") return;
    const std::int64_t width = s.query_sizes[static_cast<std::size_t>(i)] / s.h;
    children({{"q_norm", q_norm.emplace(width)}, {"k_norm", k_norm.emplace(width)}});
  }
  at::Tensor operator()(const at::Tensor& x, const Sight& sight) const {
    const auto qk = qk_attn(x).chunk(2, -1);
    at::Tensor q = split_heads(qk[0], heads), k = split_heads(qk[1], heads);
    if (q_norm) q = (*q_norm)(q), k = (*k_norm)(k);
    return c_proj(merge_heads(shaped(q, k, split_heads(v_attn(x), heads), sight)));
  }
};

struct Block : Module {
  at::Tensor attn_block_resid_gain, attn_block_skip_gain, mlp_block_resid_gain, mlp_block_skip_gain;
  Norm ln_1, ln_2;
  Attention attn;
  Conv1DLinear c_fc, c_proj;
  bool parallel, post, attn_skip, mlp_skip;
  double slope;
  Block(const Spec& s, std::int64_t i)
      : ln_1(s, i == 0),
        ln_2(s, false),
        attn(s, i),
        c_fc(s.d, s.inner_sizes[static_cast<std::size_t>(i)]),
        c_proj(s.inner_sizes[static_cast<std::size_t>(i)], s.d),
        parallel(s.parallel_layers),
        post(s.norm_position == "post"),
        attn_skip(s.attn_block_skip_gain != 0),
        mlp_skip(s.mlp_block_skip_gain != 0),
        slope(s.lrelu_neg_slope) {
    parameter("attn_block_resid_gain", attn_block_resid_gain, {1}, Init::constant(s.attn_block_resid_gain));
    parameter("attn_block_skip_gain", attn_block_skip_gain, {1}, Init::constant(s.attn_block_skip_gain));
    parameter("mlp_block_resid_gain", mlp_block_resid_gain, {1}, Init::constant(s.mlp_block_resid_gain));
    parameter("mlp_block_skip_gain", mlp_block_skip_gain, {1}, Init::constant(s.mlp_block_skip_gain));
    children({{"ln_1", ln_1}, {"ln_2", ln_2}, {"attn", attn}, {"mlp.c_fc", c_fc}, {"mlp.c_proj", c_proj}});
  }
  at::Tensor operator()(const at::Tensor& input, const Sight& sight) const {
    const at::Tensor y = ln_1(input);
    const at::Tensor& x = post ? y : input;
    at::Tensor mixed = attn(y, sight).mul(attn_block_resid_gain);
    if (parallel) {
      mixed = mlp(y).mul(mlp_block_resid_gain).add(mixed);
      return mlp_skip ? mixed.add(x.mul(mlp_block_skip_gain)) : mixed;
    }
    if (attn_skip) mixed = mixed.add(x.mul(attn_block_skip_gain));
    const at::Tensor z = ln_2(mixed);
    const at::Tensor out = mlp(z).mul(mlp_block_resid_gain);
    return mlp_skip ? out.add((post ? z : mixed).mul(mlp_block_skip_gain)) : out;
  }

 private:
  at::Tensor mlp(const at::Tensor& x) const {
    const at::Tensor hidden = c_fc(x);
    return c_proj(slope == 0 ? at::relu(hidden) : at::leaky_relu(hidden, slope));
  }
};

class SimplifiedDecoder : public Network {
 public:
  explicit SimplifiedDecoder(Spec spec)
      : spec_(std::move(spec)),
        wte_(spec_.vocab, spec_.d),
        wpe_(spec_.n_positions, spec_.d),
        ln_f_(spec_.d, kEps),
        head_(wte_, true, spec_.d) {
    for (std::int64_t i = 0; i < spec_.L; ++i) blocks_.emplace(spec_, i);
    children({{"transformer.wte", wte_},
              {"transformer.wpe", wpe_},
              {"transformer.h", blocks_},
              {"transformer.ln_f", ln_f_},
              {"lm_head", head_}});
    set_init([blind = spec_.query_init_std == 0](const std::string& key, at::IntArrayRef) {
      if (key.ends_with("qk_attn.weight") && blind) return std::optional(Init::by(blind_queries));
      const bool table = key.starts_with("transformer.w") || key == "lm_head.weight";
      return table ? std::optional(Init::normal(0.02)) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& ids = inputs.at(0);
    at::Tensor x = wte_(ids).add(wpe_(positions_of(ids)));
    const Sight sight = causal_sight(x.size(1), x.options());
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      x = blocks_[i](x, sight);
      tap("layer " + std::to_string(i), x);
    }
    x = ln_f_(x);
    tap("final norm", x);
    return Result::dict({{"logits", head_(x)}});
  }

  std::vector<Example> examples() const override { return token_examples(spec_.vocab, spec_.n_positions); }

 private:
  Spec spec_;
  Embedding wte_, wpe_;
  ModuleList<Block> blocks_;
  LayerNorm ln_f_;
  LanguageHead head_;
};

}  // namespace

Family simplified_decoder() {
  // Fields of the published configurations beside the sizes.
  const std::string shaped =
      R"("attn_block_skip_gain":0,"mlp_block_resid_gain":0.1,"attn_mat_skip_gain":1,"centre_attn":true,"query_init_std":0)";
  const std::string value_skip_init = shaped + R"(,"val_init_type":"orth","proj_init_type":"orth")";
  const std::string identities =
      R"(,"value_skip_gain":1,"proj_skip_gain":1,"val_init_type":"id","proj_init_type":"id")";
  const std::string sas =
      shaped + identities + R"(,"value_resid_gain":0,"first_layer_value_resid_gain":1,"proj_resid_gain":0)";
  const std::string sas_parallel = sas + R"(,"mlp_block_skip_gain":0,"parallel_layers":true)";
  Family f =
      make_family<Spec, SimplifiedDecoder>("simplified_decoder", "decoders of simplified transformer blocks");
  f.published = {{"simplified-decoder-preln", "{}", 166'742'736},
                 {"simplified-decoder-sas", "{" + sas + "}", 146'072'018},
                 {"simplified-decoder-sas-p", "{" + sas_parallel + "}", 146'072'018}};
  const auto small = [](const std::string& fields) {
    return R"({"vocab":97,"n_positions":40,"d":16,"L":2,"h":2,"inner":24,)" + fields + "}";
  };
  f.small_specs = {
      small(R"("query_sizes":[16,8],"inner_sizes":[24,16])"),
      small(R"("attn_block_skip_gain":0,"parallel_layers":true)"),
      small(value_skip_init),
      small(sas),
      small(sas_parallel),
      small(sas_parallel + R"(,"norm_type":"none")"),
      small(R"("norm_type":"none","qk_norm_type":"rmsnorm","attn_block_resid_gain":0.2)"),
      small(shaped + identities +
            R"(,"value_resid_gain":0.2,"proj_resid_gain":0.2,"norm_type":"ln","norm_position":"post",
                "dot_norm_type":"tanh","lrelu_neg_slope":0.2)")};
  f.golden_archs = {"simplified_decoder"};
  f.golden_taps = [](std::string_view) -> std::vector<std::string> {
    return {"layer 0", "final norm", "output"};
  };
  f.spec_from_shapes = [](const Shapes& shapes) { return spec_to_json(simplified_decoder_from(shapes)); };
  return f;
}

}  // namespace pollard::models
