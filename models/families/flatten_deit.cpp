// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/cat.h>

#include "models/families/flatten.h"
#include "models/layers/focused_attention.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

struct FlattenDeitSpec {
  std::int64_t img_size = 224, patch_size = 16, embed_dim = 192, depth = 12, num_heads = 3,
               num_classes = 1000;
  std::int64_t focusing_factor = 3, kernel_size = 5;
  double mlp_ratio = 4, drop_rate = 0, drop_path_rate = 0;
  bool class_token = true;
  std::string global_pool = "token";

  void fields(Fields& f) {
    f.integer("img_size", img_size, {1, 1 << 13});
    f.integer("patch_size", patch_size, {1, 1024});
    f.integer("embed_dim", embed_dim, {1, 1 << 14});
    f.integer("depth", depth, {1, 1024});
    f.integer("num_heads", num_heads, {1, 1024});
    f.integer("num_classes", num_classes);
    f.integer("focusing_factor", focusing_factor, {1, 64});
    f.integer("kernel_size", kernel_size, {1, 63});
    f.real("mlp_ratio", mlp_ratio);
    f.real("drop_rate", drop_rate);
    f.real("drop_path_rate", drop_path_rate);
    f.flag("class_token", class_token);
    f.text("global_pool", global_pool, {"token", "avg"});
    f.require(embed_dim % num_heads == 0, "num_heads divides embed_dim");
    f.require(patch_size <= img_size, "patch_size is at most img_size");
    f.require(mlp_ratio > 0 && mlp_ratio <= 64, "mlp_ratio lies in (0, 64]");
    f.require(class_token == (global_pool == "token"), "global_pool is token with class_token, avg without");
  }
  std::int64_t grid() const { return img_size / patch_size; }
  std::int64_t prefix() const { return class_token ? 1 : 0; }
  std::int64_t tokens() const { return grid() * grid() + prefix(); }
};

struct Block : Module {
  LayerNorm norm1;
  FocusedSelfAttention attn;
  LayerNorm norm2;
  Mlp mlp;
  double drop;
  Block(const FlattenDeitSpec& s, std::int64_t i)
      : norm1(s.embed_dim, 1e-6),
        attn({.width = s.embed_dim,
              .heads = s.num_heads,
              .keys = s.tokens(),
              .kernel = s.kernel_size,
              .factor = s.focusing_factor,
              .prefix = s.prefix()}),
        norm2(s.embed_dim, 1e-6),
        mlp(s.embed_dim, static_cast<std::int64_t>(static_cast<double>(s.embed_dim) * s.mlp_ratio)),
        drop(drop_path_at(s.drop_path_rate, i, s.depth)) {
    children({{"norm1", norm1}, {"attn", attn}, {"norm2", norm2}, {"mlp", mlp}});
  }
  at::Tensor operator()(const at::Tensor& x, Grid map) const {
    const at::Tensor y = x.add(drop_path(attn(norm1(x), map), drop, training()));
    return y.add(drop_path(mlp(norm2(y)), drop, training()));
  }
};

std::optional<Init> deit_init(const std::string& key, at::IntArrayRef shape) {
  if (key == "cls_token" || key == "pos_embed" || shape.size() == 2) return Init::truncated_normal(0.02);
  const bool conv = key.starts_with("patch_embed.") || key.find(".dwc.") != std::string::npos;
  return !conv && key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
}

class FlattenDeit : public Network {
 public:
  explicit FlattenDeit(FlattenDeitSpec spec)
      : spec_(std::move(spec)),
        patch_embed_(spec_.embed_dim, spec_.patch_size),
        norm_(spec_.embed_dim, 1e-6),
        head_(spec_.embed_dim, spec_.num_classes) {
    if (spec_.class_token) parameter("cls_token", cls_token_, {1, 1, spec_.embed_dim});
    parameter("pos_embed", pos_embed_, {1, spec_.tokens(), spec_.embed_dim});
    child("patch_embed", patch_embed_);
    for (std::int64_t i = 0; i < spec_.depth; ++i) blocks_.emplace(spec_, i);
    children({{"blocks", blocks_}, {spec_.class_token ? "norm" : "fc_norm", norm_}, {"head", head_}});
    set_init(deit_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = patch_embed_(inputs.at(0));
    if (cls_token_.defined()) x = at::cat({cls_token_.expand({x.size(0), 1, x.size(2)}), x}, 1);
    x = x.add(pos_embed_);
    for (const auto& block : blocks_) x = (*block)(x, {spec_.grid(), spec_.grid()});
    if (spec_.class_token) x = norm_(x);
    tap("normed tokens", x);
    const at::Tensor pooled = spec_.class_token ? x.select(1, 0) : norm_(x.mean(1));
    return head_(dropped(pooled, spec_.drop_rate, training()));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.img_size, spec_.img_size}}};
  }

 private:
  FlattenDeitSpec spec_;
  at::Tensor cls_token_, pos_embed_;
  PatchEmbed patch_embed_;
  ModuleList<Block> blocks_;
  LayerNorm norm_;
  Linear head_;
};

std::string guess(const Shapes& shapes) {
  FlattenDeitSpec s;
  s.class_token = shapes.has("cls_token");
  s.global_pool = s.class_token ? "token" : "avg";
  s.embed_dim = shapes.dim("pos_embed", 2);
  s.patch_size = shapes.dim("patch_embed.proj.weight", 3);
  s.img_size = s.patch_size * square_root(shapes.dim("pos_embed", 1) - s.prefix());
  s.depth = shapes.count("blocks.", ".attn.dwc.weight");
  s.num_heads = s.embed_dim / std::max<std::int64_t>(1, shapes.dim("blocks.0.attn.dwc.weight", 0));
  s.kernel_size = shapes.dim("blocks.0.attn.dwc.weight", 3);
  s.mlp_ratio = static_cast<double>(shapes.dim("blocks.0.mlp.fc1.weight", 0)) /
                static_cast<double>(std::max<std::int64_t>(1, s.embed_dim));
  s.num_classes = shapes.dim("head.weight", 0);
  return spec_to_json(s);
}

}  // namespace

Family flatten_deit() {
  Family f = make_family<FlattenDeitSpec, FlattenDeit>("flatten_deit", "DeiT with focused linear attention");
  f.published = {{"flatten_deit_t", "{}", 6'193'576}};
  f.golden_archs = {"flatten_deit"};
  f.small_specs = {
      R"({"img_size":16,"patch_size":4,"embed_dim":32,"depth":2,"num_heads":4,"num_classes":10})",
      R"({"img_size":16,"patch_size":4,"embed_dim":32,"depth":2,"num_heads":4,"num_classes":10,"class_token":false,
          "global_pool":"avg","drop_rate":0.1,"drop_path_rate":0.1,"kernel_size":3})"};
  f.spec_from_shapes = guess;
  f.golden_taps = [](std::string_view) -> std::vector<std::string> { return {"normed tokens", "output"}; };
  return f;
}

}  // namespace pollard::models
