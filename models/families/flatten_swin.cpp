// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "models/families/flatten.h"
#include "models/layers/focused_attention.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

struct FlattenSwinSpec {
  std::int64_t img_size = 224, patch_size = 4, embed_dim = 96, window_size = 56, num_classes = 1000;
  std::int64_t focusing_factor = 3, kernel_size = 5;
  std::vector<std::int64_t> depths{2, 2, 6, 2}, num_heads{3, 6, 12, 24};
  /// A letter a stage: L linear, S softmax, M linear in the first k blocks; k follows the letters.
  std::string attn_type = "LLSS";
  double mlp_ratio = 4, drop_rate = 0, attn_drop_rate = 0, drop_path_rate = 0.2;

  void fields(Fields& f) {
    f.integer("img_size", img_size, {1, 1 << 13});
    f.integer("patch_size", patch_size, {1, 1024});
    f.integer("embed_dim", embed_dim, {1, 1 << 14});
    f.integer("window_size", window_size, {1, 1024});
    f.integer("num_classes", num_classes);
    f.integer("focusing_factor", focusing_factor, {1, 64});
    f.integer("kernel_size", kernel_size, {1, 63});
    f.integers("depths", depths, {1, 256}, 8);
    f.integers("num_heads", num_heads, {1, 1024}, 8);
    f.text("attn_type", attn_type);
    f.real("mlp_ratio", mlp_ratio);
    f.real("drop_rate", drop_rate);
    f.real("attn_drop_rate", attn_drop_rate);
    f.real("drop_path_rate", drop_path_rate);
    f.require(!depths.empty() && depths.size() == num_heads.size(),
              "depths and num_heads have an entry a stage");
    f.require(patch_size <= img_size, "patch_size is at most img_size");
    f.require(mlp_ratio > 0 && mlp_ratio <= 64, "mlp_ratio lies in (0, 64]");
    f.require(attn_type.size() >= depths.size() &&
                  attn_type.find_first_not_of("LSM") >= std::min(depths.size(), attn_type.size()) &&
                  attn_type.size() <= depths.size() + 3 &&
                  attn_type.find_first_not_of("0123456789", depths.size()) == std::string::npos,
              "attn_type has a letter L, S or M a stage, then the M stages' number of linear blocks");
    for (std::size_t i = 0; i < depths.size(); ++i)
      f.require(width(i) % num_heads[i] == 0, "num_heads divides the stage's width");
  }
  std::int64_t width(std::size_t stage) const { return embed_dim << stage; }
  bool linear(std::size_t stage, std::int64_t block) const {
    if (attn_type[stage] != 'M') return attn_type[stage] == 'L';
    return block < (attn_type.size() > depths.size() ? std::stoll(attn_type.substr(depths.size())) : 0);
  }
  /// Softmax windows stay small where the linear ones are large.
  std::int64_t window(bool is_linear) const { return is_linear ? window_size : window_size <= 56 ? 7 : 12; }
};

struct Block : Module {
  WindowLayout layout;
  LayerNorm norm1;
  std::optional<FocusedSelfAttention> focused;
  std::optional<WindowAttention> softmax;
  LayerNorm norm2;
  Mlp mlp;
  at::Tensor mask;
  double drop;
  Block(const FlattenSwinSpec& s, std::size_t stage, std::int64_t block, std::int64_t side, double drop_rate)
      : layout({side, side}, s.window(s.linear(stage, block)), block % 2 == 1),
        norm1(s.width(stage)),
        norm2(s.width(stage)),
        mlp(s.width(stage), static_cast<std::int64_t>(static_cast<double>(s.width(stage)) * s.mlp_ratio)),
        drop(drop_rate) {
    const std::int64_t width = s.width(stage), heads = s.num_heads[stage];
    mlp.dropout = s.drop_rate;
    if (layout.shifted()) buffer("attn_mask", mask, layout.mask());
    child("norm1", norm1);
    if (s.linear(stage, block))
      child("attn", focused.emplace(FocusedAttention::Options{.width = width,
                                                              .heads = heads,
                                                              .keys = layout.window.positions(),
                                                              .kernel = s.kernel_size,
                                                              .factor = s.focusing_factor}));
    else
      child("attn", softmax.emplace(width, heads, layout.window, true,
                                    FusedAttention::Dropout{s.attn_drop_rate, s.drop_rate}));
    children({{"norm2", norm2}, {"mlp", mlp}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor a = in_windows(norm1(x), layout, [&](const at::Tensor& parts) {
      return focused ? (*focused)(parts, layout.window) : (*softmax)(parts, mask, x.size(0));
    });
    const at::Tensor y = x.add(drop_path(a, drop, training()));
    return y.add(drop_path(mlp(norm2(y)), drop, training()));
  }
};

struct Stage : Module {
  ModuleList<Block> blocks;
  std::optional<PatchMerging> downsample;
  at::Tensor operator()(at::Tensor x) const {
    for (const auto& block : blocks) x = (*block)(x);
    return downsample ? (*downsample)(x) : x;
  }
  Stage(const FlattenSwinSpec& s, std::size_t stage, std::int64_t side, std::int64_t before,
        std::int64_t all) {
    for (std::int64_t k = 0; k < s.depths[stage]; ++k)
      blocks.emplace(s, stage, k, side, drop_path_at(s.drop_path_rate, before + k, all));
    child("blocks", blocks);
    if (stage + 1 < s.depths.size())
      child("downsample", downsample.emplace(s.width(stage), s.width(stage + 1)));
  }
};

class FlattenSwin : public Network {
 public:
  explicit FlattenSwin(FlattenSwinSpec spec)
      : spec_(std::move(spec)),
        proj_(3, spec_.embed_dim, spec_.patch_size, {.stride = spec_.patch_size}),
        patch_norm_(spec_.embed_dim),
        norm_(last()),
        head_(last(), spec_.num_classes) {
    children({{"patch_embed.proj", proj_}, {"patch_embed.norm", patch_norm_}});
    std::int64_t side = spec_.img_size / spec_.patch_size, before = 0;
    const std::int64_t all = std::accumulate(spec_.depths.begin(), spec_.depths.end(), std::int64_t{0});
    for (std::size_t i = 0; i < spec_.depths.size(); side = (side + 1) / 2, before += spec_.depths[i++])
      stages_.emplace(spec_, i, side, before, all);
    children({{"layers", stages_}, {"norm", norm_}, {"head", head_}});
    set_init([](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
      if (shape.size() == 2) return Init::truncated_normal(0.02);
      const bool conv = key.starts_with("patch_embed.proj.") || key.find(".dwc.") != std::string::npos;
      return !conv && key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = patch_norm_(proj_(inputs.at(0)).permute({0, 2, 3, 1}));
    x = dropped(x, spec_.drop_rate, training());
    for (const auto& stage : stages_) x = (*stage)(x);
    return head_(norm_(x).mean({1, 2}));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.img_size, spec_.img_size}}};
  }

 private:
  std::int64_t last() const { return spec_.width(spec_.depths.size() - 1); }

  FlattenSwinSpec spec_;
  Conv2d proj_;
  LayerNorm patch_norm_;
  ModuleList<Stage> stages_;
  LayerNorm norm_;
  Linear head_;
};

/// Linear blocks come first in a stage, so its first and last block show its letter.
std::string guess(const Shapes& shapes) {
  FlattenSwinSpec s;
  s.embed_dim = shapes.dim("patch_embed.proj.weight", 0);
  s.patch_size = shapes.dim("patch_embed.proj.weight", 3);
  s.num_classes = shapes.dim("head.weight", 0);
  s.depths.clear(), s.num_heads.clear(), s.attn_type.clear();
  s.window_size = 56;
  std::int64_t mixed = 0;
  for (std::size_t i = 0;; ++i) {
    const std::string blocks = "layers." + std::to_string(i) + ".blocks.", attn = blocks + "0.attn.";
    if (!shapes.has(blocks + "0.norm1.weight")) break;
    s.depths.push_back(shapes.count(blocks, ".norm1.weight"));
    const std::int64_t linear = shapes.count(blocks, ".attn.scale");
    s.attn_type += linear == 0 ? 'S' : linear == s.depths.back() ? 'L' : 'M';
    if (s.attn_type.back() == 'M') mixed = linear;
    s.num_heads.push_back(linear == 0
                              ? shapes.dim(attn + "relative_position_bias_table", 1)
                              : s.width(i) / std::max<std::int64_t>(1, shapes.dim(attn + "dwc.weight", 0)));
    if (linear == 0) continue;
    s.kernel_size = shapes.dim(attn + "dwc.weight", 3);
    if (i == 0) s.window_size = square_root(shapes.dim(attn + "positional_encoding", 1));
  }
  if (mixed > 0) s.attn_type += std::to_string(mixed);
  s.img_size = s.window_size == 96 ? 384 : 224;
  return spec_to_json(s);
}

}  // namespace

Family flatten_swin() {
  Family f = make_family<FlattenSwinSpec, FlattenSwin>("flatten_swin", "Swin with focused linear attention");
  const char* base = R"("embed_dim":128,"depths":[2,2,18,2],"num_heads":[4,8,16,32],"drop_path_rate":0.5)";
  f.published = {
      {"flatten_swin_t", "{}", 29'192'384},
      {"flatten_swin_s", R"({"depths":[2,2,18,2],"drop_path_rate":0.3})", 50'510'288},
      {"flatten_swin_b", std::string("{") + base + "}", 88'972'488},
      {"flatten_swin_b_384", std::string("{") + base + R"(,"img_size":384,"window_size":96})", 91'433'928}};
  f.golden_archs = {"flatten_swin", "flatten_swin_*"};
  const std::string tiny = R"({"patch_size":4,"embed_dim":16,"num_heads":[2,2],"num_classes":10)";
  f.small_specs = {tiny + R"(,"img_size":32,"depths":[1,2],"window_size":8,"attn_type":"LS"})",
                   tiny + R"(,"img_size":64,"depths":[3,1],"window_size":8,"attn_type":"MS1","kernel_size":3,
                               "drop_rate":0.1,"attn_drop_rate":0.1})"};
  f.spec_from_shapes = guess;
  return f;
}

}  // namespace pollard::models
