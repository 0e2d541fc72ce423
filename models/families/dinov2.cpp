// SPDX-License-Identifier: Apache-2.0
#include "models/families/dinov2.h"

#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/cat.h>

#include <array>

#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

struct DinoSpec {
  std::int64_t hidden_size = 768, num_hidden_layers = 12, num_attention_heads = 12, image_size = 224;
  std::int64_t patch_size = 14, num_register_tokens = 4, num_labels = 0;
  std::int64_t input_size = 0;  ///< side of the images when not image_size: positions are then resized
  double mlp_ratio = 4, layer_norm_eps = 1e-6, layerscale_value = 1;
  double hidden_dropout_prob = 0, attention_probs_dropout_prob = 0, drop_path_rate = 0;
  bool qkv_bias = true, use_swiglu_ffn = false;
  bool packed_swiglu = false;  ///< mlp.weights_in and weights_out, the names of transformers 4
  std::string prefix, hidden_act = "gelu";

  void fields(Fields& f) {
    f.integer("hidden_size", hidden_size, {1, 1 << 16});
    f.integer("num_hidden_layers", num_hidden_layers, {1, 1024});
    f.integer("num_attention_heads", num_attention_heads, {1, 1024});
    f.integer("image_size", image_size, {1, 1 << 13});
    f.integer("input_size", input_size, {0, 1 << 13});
    f.integer("patch_size", patch_size, {1, 1024});
    f.integer("num_register_tokens", num_register_tokens, {0, 1024});
    f.integer("num_labels", num_labels, {0, 1 << 24});
    f.real("mlp_ratio", mlp_ratio);
    f.real("layer_norm_eps", layer_norm_eps);
    f.real("layerscale_value", layerscale_value);
    f.real("hidden_dropout_prob", hidden_dropout_prob);
    f.real("attention_probs_dropout_prob", attention_probs_dropout_prob);
    f.real("drop_path_rate", drop_path_rate);
    f.flag("qkv_bias", qkv_bias);
    f.flag("use_swiglu_ffn", use_swiglu_ffn);
    f.flag("packed_swiglu", packed_swiglu);
    f.text("hidden_act", hidden_act, {"gelu", "gelu_new", "relu", "silu"});
    f.text("prefix", prefix, {"", "dinov2_with_registers.", "dinov2."});
    f.require(hidden_size % num_attention_heads == 0, "num_attention_heads divides hidden_size");
    f.require(patch_size <= image_size && (input_size == 0 || patch_size <= input_size),
              "images hold a patch");
    f.require(mlp_ratio > 0 && mlp_ratio <= 64, "mlp_ratio lies in (0, 64]");
  }
  std::int64_t hidden() const {
    const auto rows = static_cast<std::int64_t>(static_cast<double>(hidden_size) * mlp_ratio + 1e-6);
    return use_swiglu_ffn ? (rows * 2 / 3 + 7) / 8 * 8 : rows;
  }
  std::int64_t grid() const { return image_size / patch_size; }
};

struct Embeddings : Module {
  std::int64_t grid;
  at::Tensor cls, mask, registers, positions;
  Conv2d projection;
  explicit Embeddings(const DinoSpec& s)
      : grid(s.grid()), projection(3, s.hidden_size, s.patch_size, {.stride = s.patch_size}) {
    parameter("cls_token", cls, {1, 1, s.hidden_size});
    parameter("mask_token", mask, {1, s.hidden_size});
    if (s.num_register_tokens > 0)
      parameter("register_tokens", registers, {1, s.num_register_tokens, s.hidden_size});
    parameter("position_embeddings", positions, {1, 1 + grid * grid, s.hidden_size});
    child("patch_embeddings.projection", projection);
  }
  at::Tensor operator()(const at::Tensor& image) const {
    const at::Tensor map = projection(image), patches = map.flatten(2).transpose(1, 2);
    const std::int64_t b = map.size(0), width = map.size(1);
    const at::Tensor x =
        at::cat({cls.expand({b, 1, width}), patches}, 1).add(positions_for(map.size(2), map.size(3)));
    if (!registers.defined()) return x;
    return at::cat({x.slice(1, 0, 1), registers.expand({b, registers.size(1), width}), x.slice(1, 1)}, 1);
  }

 private:
  /// The table, its patches resized bicubically to another grid.
  at::Tensor positions_for(std::int64_t h, std::int64_t w) const {
    if (h == grid && w == grid) return positions;
    const std::int64_t width = positions.size(2);
    const at::Tensor map = positions.slice(1, 1).view({1, grid, grid, width}).permute({0, 3, 1, 2});
    const at::Tensor resized = at::_upsample_bicubic2d_aa(map, {h, w}, false);
    return at::cat({positions.slice(1, 0, 1), resized.flatten(2).transpose(1, 2)}, 1);
  }
};

struct Layer : Module {
  std::int64_t heads;
  LayerNorm norm1;
  Linear q, k, v, o;
  LayerScale scale1;
  LayerNorm norm2;
  std::vector<std::unique_ptr<Linear>> mlp;  ///< in the order they run
  LayerScale scale2;
  Activation activation;
  double dropout, attention_dropout, drop;
  bool gated;
  Layer(const DinoSpec& s, std::int64_t i)
      : heads(s.num_attention_heads),
        norm1(s.hidden_size, s.layer_norm_eps),
        q(s.hidden_size, s.hidden_size, s.qkv_bias ? Bias::Yes : Bias::No),
        k(s.hidden_size, s.hidden_size, s.qkv_bias ? Bias::Yes : Bias::No),
        v(s.hidden_size, s.hidden_size, s.qkv_bias ? Bias::Yes : Bias::No),
        o(s.hidden_size, s.hidden_size),
        scale1(s.hidden_size, s.layerscale_value, "lambda1"),
        norm2(s.hidden_size, s.layer_norm_eps),
        scale2(s.hidden_size, s.layerscale_value, "lambda1"),
        activation(s.use_swiglu_ffn ? Activation::Silu : activation_from_name(s.hidden_act)),
        dropout(s.hidden_dropout_prob),
        attention_dropout(s.attention_probs_dropout_prob),
        drop(drop_path_at(s.drop_path_rate, i, s.num_hidden_layers)),
        gated(s.use_swiglu_ffn) {
    children({{"norm1", norm1}, {"attention.q_proj", q}, {"attention.k_proj", k}, {"attention.v_proj", v}});
    children({{"attention.o_proj", o}, {"layer_scale1", scale1}, {"norm2", norm2}});
    const std::int64_t width = s.hidden_size, hidden = s.hidden();
    if (!s.use_swiglu_ffn) {
      add("fc1", width, hidden), add("fc2", hidden, width);
    } else if (s.packed_swiglu) {
      add("weights_in", width, 2 * hidden), add("weights_out", hidden, width);
    } else {
      add("gate_proj", width, hidden), add("up_proj", width, hidden), add("down_proj", hidden, width);
    }
    child("layer_scale2", scale2);
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor a = norm1(x);
    const at::Tensor context =
        attention(split_heads(q(a), heads), split_heads(k(a), heads), split_heads(v(a), heads),
                  {.dropout = training() ? attention_dropout : 0});
    const at::Tensor mixed = dropped(o(merge_heads(context)), dropout, training());
    const at::Tensor y = x.add(drop_path(scale1(mixed), drop, training()));
    return y.add(drop_path(scale2(feedforward(norm2(y))), drop, training()));
  }

 private:
  void add(const std::string& name, std::int64_t in, std::int64_t out) {
    child("mlp." + name, *mlp.emplace_back(std::make_unique<Linear>(in, out)));
  }
  at::Tensor feedforward(const at::Tensor& x) const {
    const at::Tensor first = (*mlp[0])(x);
    if (!gated) return (*mlp[1])(activate(first, activation));
    if (mlp.size() == 3) return (*mlp[2])(activate(first, activation).mul((*mlp[1])(x)));
    const auto halves = first.chunk(2, -1);
    return (*mlp[1])(activate(halves[0], activation).mul(halves[1]));
  }
};

class Dinov2 : public Network {
 public:
  explicit Dinov2(DinoSpec spec)
      : spec_(std::move(spec)), embeddings_(spec_), norm_(spec_.hidden_size, spec_.layer_norm_eps) {
    const std::string& p = spec_.prefix;
    child(p + "embeddings", embeddings_);
    for (std::int64_t i = 0; i < spec_.num_hidden_layers; ++i) layers_.emplace(spec_, i);
    child(p + "encoder.layer", layers_);
    child(p + "layernorm", norm_);
    if (spec_.num_labels > 0)
      child("classifier", classifier_.emplace(2 * spec_.hidden_size, spec_.num_labels));
    set_init([](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
      if (key.ends_with("register_tokens") || key.ends_with("mask_token")) return Init::zeros();
      if (shape.size() > 1) return Init::truncated_normal(0.02);
      return key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = dropped(embeddings_(inputs.at(0)), spec_.hidden_dropout_prob, training());
    for (const auto& layer : layers_) x = (*layer)(x);
    x = norm_(x);
    const at::Tensor cls = x.select(1, 0);
    if (!classifier_) return Result::dict({{"last_hidden_state", x}, {"pooler_output", cls}});
    const at::Tensor patches = x.slice(1, 1 + spec_.num_register_tokens).mean(1);
    return Result::dict({{"logits", (*classifier_)(at::cat({cls, patches}, 1))}});
  }

  std::vector<Example> examples() const override {
    const std::int64_t side = spec_.input_size > 0 ? spec_.input_size : spec_.image_size;
    return {{"pixel_values", {batch(), 3, side, side}}};
  }

 private:
  DinoSpec spec_;
  Embeddings embeddings_;
  ModuleList<Layer> layers_;
  LayerNorm norm_;
  std::optional<Linear> classifier_;
};

std::string guess(const Shapes& shapes) {
  DinoSpec s;
  for (const char* prefix : {"", "dinov2_with_registers.", "dinov2."})
    if (shapes.has(std::string(prefix) + "embeddings.cls_token")) s.prefix = prefix;
  const auto dim = [&](const std::string& key, std::int64_t d) { return shapes.dim(s.prefix + key, d); };
  const std::string mlp = s.prefix + "encoder.layer.0.mlp.";
  s.hidden_size = dim("embeddings.cls_token", 2);
  s.num_hidden_layers = shapes.count(s.prefix + "encoder.layer.", ".norm1.weight");
  s.num_attention_heads = s.hidden_size % 64 == 0 ? s.hidden_size / 64 : 1;
  s.patch_size = dim("embeddings.patch_embeddings.projection.weight", 3);
  s.image_size = s.patch_size * square_root(dim("embeddings.position_embeddings", 1) - 1);
  const std::string registers = "embeddings.register_tokens";
  s.num_register_tokens = shapes.has(s.prefix + registers) ? dim(registers, 1) : 0;
  s.num_labels = shapes.has("classifier.weight") ? shapes.dim("classifier.weight", 0) : 0;
  s.qkv_bias = shapes.has(s.prefix + "encoder.layer.0.attention.q_proj.bias");
  s.packed_swiglu = shapes.has(mlp + "weights_in.weight");
  s.use_swiglu_ffn = !shapes.has(mlp + "fc1.weight");
  if (!s.use_swiglu_ffn)
    s.mlp_ratio = static_cast<double>(shapes.dim(mlp + "fc1.weight", 0)) / static_cast<double>(s.hidden_size);
  return spec_to_json(s);
}

/// transformers 4's names of what 5 calls q_proj, k_proj, v_proj and o_proj.
std::string rename(const std::string& key) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kNames{
      {{".attention.attention.query.", ".attention.q_proj."},
       {".attention.attention.key.", ".attention.k_proj."},
       {".attention.attention.value.", ".attention.v_proj."},
       {".attention.output.dense.", ".attention.o_proj."}}};
  for (const auto& [old, now] : kNames)
    if (const auto at = key.find(old); at != std::string::npos)
      return key.substr(0, at) + std::string(now) + key.substr(at + old.size());
  return key;
}

}  // namespace

Family dinov2() {
  Family f =
      make_family<DinoSpec, Dinov2>("dinov2", "DINOv2 with or without registers, with transformers' keys");
  f.published = {{"dinov2-with-registers-small",
                  R"({"image_size":518,"hidden_size":384,"num_attention_heads":6})", 22'058'112},
                 {"dinov2-with-registers-base", R"({"image_size":518})", 86'583'552}};
  f.golden_archs = {"dinov2*"};
  const std::string tiny =
      R"({"hidden_size":32,"num_hidden_layers":2,"num_attention_heads":4,"patch_size":4)";
  f.small_specs = {
      tiny + R"(,"image_size":16})",
      tiny + R"(,"image_size":16,"use_swiglu_ffn":true,"num_labels":5,"prefix":"dinov2_with_registers."})",
      tiny + R"(,"image_size":16,"use_swiglu_ffn":true,"packed_swiglu":true,"drop_path_rate":0.1})",
      tiny + R"(,"image_size":16,"input_size":24,"num_register_tokens":0,"hidden_dropout_prob":0.1})"};
  f.spec_from_shapes = guess;
  f.rename = rename;
  f.golden_taps = [](std::string_view golden) -> std::vector<std::string> {
    return {golden.find("num_labels") == std::string_view::npos ? "output:1" : "output"};
  };
  return f;
}

}  // namespace pollard::models
