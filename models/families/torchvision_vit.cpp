// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>

#include "models/families/vit.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

struct TorchvisionVitSpec {
  std::int64_t image_size = 224, patch_size = 16, num_layers = 12, num_heads = 12, hidden_dim = 768;
  std::int64_t mlp_dim = 3072, num_classes = 1000;
  double dropout = 0, attention_dropout = 0;
  std::vector<std::int64_t> r;  ///< Token Merging, as in vit_spec.h
  bool prop_attn = true;

  void fields(Fields& f) {
    f.integer("image_size", image_size, {1, 1 << 14});
    f.integer("patch_size", patch_size, {1, 1024});
    f.integer("num_layers", num_layers, {1, 1024});
    f.integer("num_heads", num_heads, {1, 1024});
    f.integer("hidden_dim", hidden_dim, {1, 1 << 16});
    f.integer("mlp_dim", mlp_dim, {1, 1 << 18});
    f.integer("num_classes", num_classes);
    f.real("dropout", dropout);
    f.real("attention_dropout", attention_dropout);
    f.integers("r", r, {0, 1 << 16});
    f.flag("prop_attn", prop_attn);
    f.require(hidden_dim % num_heads == 0, "num_heads divides hidden_dim");
    f.require(patch_size <= image_size, "patch_size is at most image_size");
  }
};

struct Layer : Module {
  LayerNorm ln_1;
  MultiheadAttention self_attention;
  LayerNorm ln_2;
  Linear mlp_0, mlp_3;
  double dropout;
  explicit Layer(const TorchvisionVitSpec& s)
      : ln_1(s.hidden_dim, 1e-6),
        self_attention(s.hidden_dim, s.num_heads, Bias::Yes, s.attention_dropout),
        ln_2(s.hidden_dim, 1e-6),
        mlp_0(s.hidden_dim, s.mlp_dim),
        mlp_3(s.mlp_dim, s.hidden_dim),
        dropout(s.dropout) {
    children({{"ln_1", ln_1},
              {"self_attention", self_attention},
              {"ln_2", ln_2},
              {"mlp.0", mlp_0},
              {"mlp.3", mlp_3}});
  }
  at::Tensor operator()(const at::Tensor& x, const std::optional<VitBlock::Merging>& merging) const {
    const MultiheadAttention& a = self_attention;
    const auto qkv = at::linear(ln_1(x), a.in_proj_weight, a.in_proj_bias).chunk(3, -1);
    const at::Tensor k = split_heads(qkv[1], a.heads);
    AttentionOptions options{.dropout = training() ? a.dropout : 0};
    if (merging && merging->proportional) options.mask = merging->merger.log_sizes();
    const at::Tensor context =
        attention(split_heads(qkv[0], a.heads), k, split_heads(qkv[2], a.heads), options);
    at::Tensor y = x.add(dropped(a.out_proj(merge_heads(context)), dropout, training()));
    if (merging && merging->count > 0) y = merging->merger(y, k.mean(1), merging->count);
    const at::Tensor hidden = dropped(activate(mlp_0(ln_2(y)), Activation::Gelu), dropout, training());
    return y.add(dropped(mlp_3(hidden), dropout, training()));
  }
};

/// torchvision's: Xavier perceptron, positions N(0, 0.02), patch projection truncated at fan in, head and class
/// token 0.
std::optional<Init> torchvision_init(const std::string& key, at::IntArrayRef shape) {
  if (key == "encoder.pos_embedding") return Init::normal(0.02);
  if (key == "conv_proj.weight")
    return Init::truncated_normal(1 / std::sqrt(static_cast<double>(3 * shape[2] * shape[3])));
  if (key == "class_token" || key.starts_with("heads.") || key == "conv_proj.bias") return Init::zeros();
  if (key.find(".mlp.") == std::string::npos) return std::nullopt;
  return key.ends_with(".bias") ? Init::normal(1e-6) : Init::xavier_uniform();
}

class TorchvisionVit : public Network {
 public:
  explicit TorchvisionVit(TorchvisionVitSpec spec)
      : spec_(std::move(spec)),
        conv_proj_(3, spec_.hidden_dim, spec_.patch_size, {.stride = spec_.patch_size}),
        ln_(spec_.hidden_dim, 1e-6),
        head_(spec_.hidden_dim, spec_.num_classes) {
    const std::int64_t grid = spec_.image_size / spec_.patch_size;
    parameter("class_token", class_token_, {1, 1, spec_.hidden_dim});
    child("conv_proj", conv_proj_);
    parameter("encoder.pos_embedding", positions_, {1, grid * grid + 1, spec_.hidden_dim});
    for (std::int64_t i = 0; i < spec_.num_layers; ++i)
      child("encoder.layers.encoder_layer_" + std::to_string(i),
            *layers_.emplace_back(std::make_unique<Layer>(spec_)));
    children({{"encoder.ln", ln_}, {"heads.head", head_}});
    set_init(torchvision_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor patches = conv_proj_(inputs.at(0)).flatten(2).transpose(1, 2);
    const at::Tensor token = class_token_.expand({patches.size(0), 1, patches.size(2)});
    at::Tensor x = dropped(at::cat({token, patches}, 1).add(positions_), spec_.dropout, training());
    TokenMerger merger({.class_token = true});
    for (std::size_t i = 0; i < layers_.size(); ++i) x = (*layers_[i])(x, merging(merger, i));
    return head_(ln_(x).select(1, 0));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.image_size, spec_.image_size}}};
  }

 private:
  std::optional<VitBlock::Merging> merging(TokenMerger& merger, std::size_t layer) const {
    if (spec_.r.empty()) return std::nullopt;
    return VitBlock::Merging{merger, layer < spec_.r.size() ? spec_.r[layer] : 0, spec_.prop_attn};
  }

  TorchvisionVitSpec spec_;
  at::Tensor class_token_, positions_;
  Conv2d conv_proj_;
  std::vector<std::unique_ptr<Layer>> layers_;
  LayerNorm ln_;
  Linear head_;
};

std::string guess(const Shapes& shapes) {
  TorchvisionVitSpec s;
  s.hidden_dim = shapes.dim("class_token", 2);
  s.patch_size = shapes.dim("conv_proj.weight", 3);
  s.image_size = s.patch_size * square_root(shapes.dim("encoder.pos_embedding", 1) - 1);
  s.num_layers = shapes.count("encoder.layers.encoder_layer_", ".ln_1.weight");
  s.mlp_dim = shapes.dim("encoder.layers.encoder_layer_0.mlp.0.weight", 0);
  s.num_heads = s.hidden_dim == 1280 ? 16 : s.hidden_dim % 64 == 0 ? s.hidden_dim / 64 : 1;
  s.num_classes = shapes.dim("heads.head.weight", 0);
  return spec_to_json(s);
}

/// Files of the first release write mlp.linear_1 and mlp.linear_2.
std::string rename(const std::string& key) {
  std::string out = key;
  for (const auto& [old, now] :
       {std::pair(".mlp.linear_1.", ".mlp.0."), std::pair(".mlp.linear_2.", ".mlp.3.")})
    if (const auto at = out.find(old); at != std::string::npos)
      out.replace(at, std::string_view(old).size(), now);
  return out;
}

}  // namespace

Family torchvision_vit() {
  Family f =
      make_family<TorchvisionVitSpec, TorchvisionVit>("torchvision_vit", "ViT with torchvision's keys");
  f.published = {
      {"vit_b_16", "{}", 86'567'656},
      {"vit_b_32", R"({"patch_size":32})", 88'224'232},
      {"vit_l_16", R"({"hidden_dim":1024,"num_layers":24,"num_heads":16,"mlp_dim":4096})", 304'326'632}};
  f.golden_archs = {"torchvision_vit"};
  f.small_specs = {
      R"({"image_size":16,"patch_size":4,"num_layers":2,"num_heads":4,"hidden_dim":32,"mlp_dim":48,
                       "num_classes":10})",
      R"({"image_size":16,"patch_size":4,"num_layers":2,"num_heads":4,"hidden_dim":32,"mlp_dim":48,
                       "num_classes":10,"dropout":0.1,"attention_dropout":0.1,"r":[4,2]})"};
  f.spec_from_shapes = guess;
  f.rename = rename;
  return f;
}

}  // namespace pollard::models
