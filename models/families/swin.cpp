// SPDX-License-Identifier: Apache-2.0
#include "models/families/swin.h"

#include <algorithm>
#include <numeric>

#include "models/layers/vision_transformer.h"
#include "models/layers/windows.h"

namespace pollard::models {
namespace {

struct SwinSpec {
  std::int64_t img_size = 224, patch_size = 4, window_size = 7, embed_dim = 96, num_classes = 1000;
  std::vector<std::int64_t> depths{2, 2, 6, 2}, num_heads{3, 6, 12, 24};
  double mlp_ratio = 4, drop_rate = 0, proj_drop_rate = 0, attn_drop_rate = 0, drop_path_rate = 0.1;

  void fields(Fields& f) {
    f.integer("img_size", img_size, {1, 1 << 13});
    f.integer("patch_size", patch_size, {1, 1024});
    f.integer("window_size", window_size, {1, 256});
    f.integer("embed_dim", embed_dim, {1, 1 << 14});
    f.integer("num_classes", num_classes);
    f.integers("depths", depths, {1, 256}, 8);
    f.integers("num_heads", num_heads, {1, 1024}, 8);
    f.real("mlp_ratio", mlp_ratio);
    f.real("drop_rate", drop_rate);
    f.real("proj_drop_rate", proj_drop_rate);
    f.real("attn_drop_rate", attn_drop_rate);
    f.real("drop_path_rate", drop_path_rate);
    f.require(!depths.empty() && depths.size() == num_heads.size(),
              "depths and num_heads have an entry a stage");
    f.require(patch_size <= img_size, "patch_size is at most img_size");
    f.require(mlp_ratio > 0 && mlp_ratio <= 64, "mlp_ratio lies in (0, 64]");
    for (std::size_t i = 0; i < depths.size(); ++i)
      f.require(width(i) % num_heads[i] == 0, "num_heads divides the stage's width");
  }
  std::int64_t width(std::size_t stage) const { return embed_dim << stage; }
};

struct Block : Module {
  WindowLayout layout;
  LayerNorm norm1;
  WindowAttention attn;
  LayerNorm norm2;
  Mlp mlp;
  at::Tensor mask;
  double drop;
  Block(const SwinSpec& s, std::size_t stage, WindowLayout cut, double drop_rate)
      : layout(cut),
        norm1(s.width(stage)),
        attn(s.width(stage), s.num_heads[stage], cut.window, false, {s.attn_drop_rate, s.proj_drop_rate}),
        norm2(s.width(stage)),
        mlp(s.width(stage), static_cast<std::int64_t>(static_cast<double>(s.width(stage)) * s.mlp_ratio)),
        drop(drop_rate) {
    mlp.dropout = s.proj_drop_rate;
    if (layout.shifted()) buffer("attn_mask", mask, layout.mask(), false);
    children({{"norm1", norm1}, {"attn", attn}, {"norm2", norm2}, {"mlp", mlp}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor a =
        in_windows(norm1(x), layout, [&](const at::Tensor& parts) { return attn(parts, mask, x.size(0)); });
    const at::Tensor y = x.add(drop_path(a, drop, training()));
    return y.add(drop_path(mlp(norm2(y)), drop, training()));
  }
};

struct Stage : Module {
  std::optional<PatchMerging> downsample;
  ModuleList<Block> blocks;
  Stage(const SwinSpec& s, std::size_t stage, std::int64_t side, std::int64_t before, std::int64_t all) {
    if (stage > 0) child("downsample", downsample.emplace(s.width(stage - 1), s.width(stage)));
    for (std::int64_t k = 0; k < s.depths[stage]; ++k)
      blocks.emplace(s, stage, WindowLayout({side, side}, s.window_size, k % 2 == 1),
                     drop_path_at(s.drop_path_rate, before + k, all));
    child("blocks", blocks);
  }
  at::Tensor operator()(at::Tensor x) const {
    if (downsample) x = (*downsample)(x);
    for (const auto& block : blocks) x = (*block)(x);
    return x;
  }
};

class Swin : public Network {
 public:
  explicit Swin(SwinSpec spec)
      : spec_(std::move(spec)),
        proj_(3, spec_.embed_dim, spec_.patch_size, {.stride = spec_.patch_size}),
        patch_norm_(spec_.embed_dim),
        norm_(last()),
        head_(last(), spec_.num_classes) {
    children({{"patch_embed.proj", proj_}, {"patch_embed.norm", patch_norm_}});
    std::int64_t side = spec_.img_size / spec_.patch_size, before = 0;
    const std::int64_t all = std::accumulate(spec_.depths.begin(), spec_.depths.end(), std::int64_t{0});
    for (std::size_t i = 0; i < spec_.depths.size(); before += spec_.depths[i++]) {
      if (i > 0) side = (side + 1) / 2;
      stages_.emplace(spec_, i, side, before, all);
    }
    children({{"layers", stages_}, {"norm", norm_}, {"head.fc", head_}});
    set_init([](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
      if (key.starts_with("patch_embed.proj.")) return std::nullopt;
      if (shape.size() == 2) return Init::truncated_normal(0.02);
      return key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = patch_norm_(proj_(inputs.at(0)).permute({0, 2, 3, 1}));
    tap("patch_embed", x);
    for (std::size_t i = 0; i < stages_.size(); ++i) tap("layers." + std::to_string(i), x = stages_[i](x));
    return head_(dropped(norm_(x).mean({1, 2}), spec_.drop_rate, training()));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.img_size, spec_.img_size}}};
  }

 private:
  std::int64_t last() const { return spec_.width(spec_.depths.size() - 1); }

  SwinSpec spec_;
  Conv2d proj_;
  LayerNorm patch_norm_;
  ModuleList<Stage> stages_;
  LayerNorm norm_;
  Linear head_;
};

std::string guess(const Shapes& shapes) {
  SwinSpec s;
  s.embed_dim = shapes.dim("patch_embed.proj.weight", 0);
  s.patch_size = shapes.dim("patch_embed.proj.weight", 3);
  s.num_classes = shapes.dim("head.fc.weight", 0);
  s.mlp_ratio = static_cast<double>(shapes.dim("layers.0.blocks.0.mlp.fc1.weight", 0)) /
                static_cast<double>(std::max<std::int64_t>(1, s.embed_dim));
  s.depths.clear(), s.num_heads.clear();
  for (std::size_t i = 0;; ++i) {
    const std::string blocks = "layers." + std::to_string(i) + ".blocks.";
    if (!shapes.has(blocks + "0.norm1.weight")) break;
    s.depths.push_back(shapes.count(blocks, ".norm1.weight"));
    const std::string table = blocks + "0.attn.relative_position_bias_table";
    s.num_heads.push_back(shapes.dim(table, 1));
    if (i == 0) s.window_size = (square_root(shapes.dim(table, 0)) + 1) / 2;
  }
  return spec_to_json(s);
}

}  // namespace

Family swin() {
  Family f = make_family<SwinSpec, Swin>("swin", "Swin transformers with timm's keys");
  f.published = {
      {"swin_tiny_patch4_window7_224", "{}", 28'288'354},
      {"swin_small_patch4_window7_224", R"({"depths":[2,2,18,2],"drop_path_rate":0.3})", 49'606'258},
      {"swin_base_patch4_window7_224",
       R"({"embed_dim":128,"depths":[2,2,18,2],"num_heads":[4,8,16,32],"drop_path_rate":0.5})", 87'768'224}};
  f.golden_archs = {"swin"};
  f.small_specs = {
      R"({"img_size":32,"patch_size":4,"window_size":4,"embed_dim":16,"depths":[2,2],"num_heads":[2,4],"num_classes":10})",
      R"({"img_size":36,"patch_size":4,"window_size":4,"embed_dim":16,"depths":[2,1],"num_heads":[2,2],"num_classes":10,
          "drop_rate":0.1,"proj_drop_rate":0.1,"attn_drop_rate":0.1})"};
  f.spec_from_shapes = guess;
  f.ignored = {"relative_position_index", "attn_mask"};
  return f;
}

}  // namespace pollard::models
