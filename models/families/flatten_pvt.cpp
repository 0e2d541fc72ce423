// SPDX-License-Identifier: Apache-2.0
#include "models/families/flatten_pvt_spec.h"

#include <nlohmann/json.hpp>
#include <numeric>

#include "models/families/flatten.h"
#include "models/layers/focused_attention.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

/// Attention of all positions to a map whose side is reduced by a strided convolution.
struct Attention : Module {
  std::int64_t heads;
  Linear q, kv, proj;
  std::optional<Conv2d> sr;
  std::optional<LayerNorm> norm;
  std::optional<FocusedAttention> focused;
  double dropout, attention_dropout;
  Attention(const FlattenPvtSpec& s, std::size_t stage)
      : heads(s.num_heads[stage]),
        q(s.embed_dims[stage], s.embed_dims[stage], s.qkv_bias ? Bias::Yes : Bias::No),
        kv(s.embed_dims[stage], 2 * s.embed_dims[stage], s.qkv_bias ? Bias::Yes : Bias::No),
        proj(s.embed_dims[stage], s.embed_dims[stage]),
        dropout(s.drop_rate),
        attention_dropout(s.attn_drop_rate) {
    const std::int64_t width = s.embed_dims[stage], r = s.reduction(stage), side = s.side(stage);
    if (s.linear(stage))
      child("", focused.emplace(FocusedAttention::Options{.width = width,
                                                          .heads = heads,
                                                          .keys = side * side / (r * r),
                                                          .kernel = s.kernel_size,
                                                          .factor = s.focusing_factor}));
    children({{"q", q}, {"kv", kv}, {"proj", proj}});
    if (r == 1) return;
    child("sr", sr.emplace(width, width, r, ConvOptions<2>{.stride = r}));
    child("norm", norm.emplace(width));
  }
  at::Tensor operator()(const at::Tensor& x, Grid map) const {
    const auto pair = kv(sr ? (*norm)(reduced(x, map)) : x).chunk(2, -1);
    if (focused) return dropped(proj((*focused)(q(x), pair[0], pair[1], map)), dropout, training());
    const at::Tensor context =
        attention(split_heads(q(x), heads), split_heads(pair[0], heads), split_heads(pair[1], heads),
                  {.dropout = training() ? attention_dropout : 0});
    return dropped(proj(merge_heads(context)), dropout, training());
  }

 private:
  at::Tensor reduced(const at::Tensor& x, Grid map) const {
    const at::Tensor image = x.transpose(1, 2).reshape({x.size(0), x.size(2), map.h, map.w});
    return (*sr)(image).flatten(2).transpose(1, 2);
  }
};

/// fc1, in PVTv2 a depthwise 3x3 convolution, GELU, fc2.
struct Feedforward : Module {
  Linear fc1, fc2;
  std::optional<Conv2d> dwconv;
  double dropout;
  Feedforward(std::int64_t width, std::int64_t hidden, bool convolve, double p)
      : fc1(width, hidden), fc2(hidden, width), dropout(p) {
    child("fc1", fc1);
    if (convolve)
      child("dwconv.dwconv",
            dwconv.emplace(hidden, hidden, 3, ConvOptions<2>{.padding = 1, .groups = hidden}));
    child("fc2", fc2);
  }
  at::Tensor operator()(const at::Tensor& x, Grid map) const {
    at::Tensor h = fc1(x);
    if (dwconv) {
      const at::Tensor image = h.transpose(1, 2).view({h.size(0), h.size(2), map.h, map.w});
      h = (*dwconv)(image).flatten(2).transpose(1, 2);
    }
    h = dropped(activate(h, Activation::Gelu), dropout, training());
    return dropped(fc2(h), dropout, training());
  }
};

struct Block : Module {
  LayerNorm norm1;
  Attention attn;
  LayerNorm norm2;
  Feedforward mlp;
  double drop;
  Block(const FlattenPvtSpec& s, std::size_t stage, double drop_rate)
      : norm1(s.embed_dims[stage], s.norm_eps),
        attn(s, stage),
        norm2(s.embed_dims[stage], s.norm_eps),
        mlp(s.embed_dims[stage], s.embed_dims[stage] * s.mlp_ratios[stage], s.v2, s.drop_rate),
        drop(drop_rate) {
    children({{"norm1", norm1}, {"attn", attn}, {"norm2", norm2}, {"mlp", mlp}});
  }
  at::Tensor operator()(const at::Tensor& x, Grid map) const {
    const at::Tensor y = x.add(drop_path(attn(norm1(x), map), drop, training()));
    return y.add(drop_path(mlp(norm2(y), map), drop, training()));
  }
};

/// patch_embed and what it feeds; the network names the parts.
struct Stage {
  Conv2d proj;
  LayerNorm patch_norm;
  at::Tensor positions;
  ModuleList<Block> blocks;
  std::optional<LayerNorm> norm;
  Stage(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride)
      : proj(in, out, kernel, {.stride = stride, .padding = kernel > stride ? kernel / 2 : 0}),
        patch_norm(out) {}
};

std::optional<Init> pvt_init(const std::string& key, at::IntArrayRef shape) {
  if (key.starts_with("pos_embed") || shape.size() == 2) return Init::truncated_normal(0.02);
  const bool conv = key.find("proj") == 11 || key.find(".dwc.") != std::string::npos ||
                    key.find(".sr.") != std::string::npos || key.find("dwconv") != std::string::npos;
  return !conv && key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
}

/// PVTv2's convolutions: N(0, sqrt(2 / fan out)), a depthwise fan out being its kernel.
std::optional<Init> pvt_v2_init(const std::string& key, at::IntArrayRef shape) {
  if (shape.size() == 2) return Init::truncated_normal(0.02);
  if (key.ends_with(".bias")) return Init::zeros();
  if (shape.size() != 4) return std::nullopt;
  const std::int64_t out = shape[1] == 1 ? 1 : shape[0];
  return Init::normal(std::sqrt(2 / static_cast<double>(out * shape[2] * shape[3])));
}

class FlattenPvt : public Network {
 public:
  explicit FlattenPvt(FlattenPvtSpec spec)
      : spec_(std::move(spec)), head_(spec_.embed_dims.back(), spec_.num_classes) {
    const std::int64_t all = std::accumulate(spec_.depths.begin(), spec_.depths.end(), std::int64_t{0});
    for (std::size_t i = 0, before = 0; i < 4; before += static_cast<std::size_t>(spec_.depths[i++]))
      add_stage(i, static_cast<std::int64_t>(before), all);
    if (!spec_.v2) child("norm", unused_norm_.emplace(spec_.embed_dims.back(), spec_.norm_eps));
    child("head", head_);
    set_init(spec_.v2 ? pvt_v2_init : pvt_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = inputs.at(0);
    for (std::size_t i = 0; i < 4; ++i) {
      x = run(*stages_[i], x);
      if (i == 3) break;
      x = x.transpose(1, 2).reshape({x.size(0), x.size(2), spec_.side(i), spec_.side(i)});
    }
    return head_(x.mean(1));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.img_size, spec_.img_size}}};
  }

 private:
  void add_stage(std::size_t i, std::int64_t before, std::int64_t all) {
    const std::int64_t width = spec_.embed_dims[i], stride = spec_.stride(i), side = spec_.side(i);
    const std::int64_t kernel = !spec_.v2 ? stride : i == 0 ? 7 : 3;
    const std::string number = std::to_string(i + 1);
    Stage& stage = *stages_.emplace_back(
        std::make_unique<Stage>(i == 0 ? 3 : spec_.embed_dims[i - 1], width, kernel, stride));
    if (!spec_.v2) parameter("pos_embed" + number, stage.positions, {1, side * side, width});
    children({{"patch_embed" + number + ".proj", stage.proj},
              {"patch_embed" + number + ".norm", stage.patch_norm}});
    for (std::int64_t k = 0; k < spec_.depths[i]; ++k)
      stage.blocks.emplace(spec_, i, drop_path_at(spec_.drop_path_rate, before + k, all));
    child("block" + number, stage.blocks);
    if (spec_.v2) child("norm" + number, stage.norm.emplace(width, spec_.norm_eps));
  }

  /// A map [B, C, H, W] to the stage's tokens [B, N, C].
  at::Tensor run(const Stage& stage, const at::Tensor& image) const {
    const at::Tensor map = stage.proj(image);
    at::Tensor x = stage.patch_norm(map.flatten(2).transpose(1, 2));
    if (stage.positions.defined()) x = dropped(x.add(stage.positions), spec_.drop_rate, training());
    for (const auto& block : stage.blocks) x = (*block)(x, {map.size(2), map.size(3)});
    return stage.norm ? (*stage.norm)(x) : x;
  }

  FlattenPvtSpec spec_;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::optional<LayerNorm> unused_norm_;  ///< PVT checkpoints hold one that nothing reads
  Linear head_;
};

std::string guess(const Shapes& shapes) {
  FlattenPvtSpec s;
  s.v2 = shapes.has("block1.0.mlp.dwconv.dwconv.weight");
  s.qkv_bias = shapes.has("block1.0.attn.q.bias");
  s.num_classes = shapes.dim("head.weight", 0);
  s.patch_size = s.v2 ? 4 : shapes.dim("patch_embed1.proj.weight", 3);
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string number = std::to_string(i + 1), block = "block" + number + ".",
                      attn = block + "0.attn.";
    s.embed_dims[i] = shapes.dim("patch_embed" + number + ".proj.weight", 0);
    s.depths[i] = shapes.count(block, ".norm1.weight");
    s.mlp_ratios[i] = shapes.dim(block + "0.mlp.fc1.weight", 0) / std::max<std::int64_t>(1, s.embed_dims[i]);
    const bool linear = shapes.has(attn + "scale");
    const std::int64_t r = shapes.has(attn + "sr.weight") ? shapes.dim(attn + "sr.weight", 2) : 1;
    s.attn_type[i] = linear ? 'L' : 'S';
    if (linear)
      s.la_sr_ratios[i] = static_cast<char>('0' + std::min<std::int64_t>(r, 9));
    else
      s.sr_ratios[i] = r;
    if (!linear) continue;
    s.num_heads[i] = s.embed_dims[i] / std::max<std::int64_t>(1, shapes.dim(attn + "dwc.weight", 0));
    s.kernel_size = shapes.dim(attn + "dwc.weight", 3);
    if (i == 0) s.img_size = s.patch_size * r * square_root(shapes.dim(attn + "positional_encoding", 1));
  }
  return spec_to_json(s);
}

/// Only the authors' named sizes set LayerNorm's eps.
std::string configured(std::string_view config, std::string_view arch, const Shapes&) {
  auto json = nlohmann::json::parse(config, nullptr, false);
  if (!json.is_object() || (arch != "flatten_pvt" && arch != "flatten_pvt_v2")) return std::string(config);
  json["norm_eps"] = 1e-5;
  return json.dump();
}

}  // namespace

Family flatten_pvt() {
  Family f =
      make_family<FlattenPvtSpec, FlattenPvt>("flatten_pvt", "PVT and PVTv2 with focused linear attention");
  const auto v2 = [](const char* rest) { return std::string(R"({"v2":true)") + rest + "}"; };
  f.published = {{"flatten_pvt_tiny", "{}", 12'150'504},
                 {"flatten_pvt_small", R"({"depths":[3,4,6,3]})", 21'670'248},
                 {"flatten_pvt_medium", R"({"depths":[3,4,18,3]})", 37'242'216},
                 {"flatten_pvt_large", R"({"depths":[3,8,27,3]})", 50'649'192},
                 {"flatten_pvt_v2_b0", v2(R"(,"embed_dims":[32,64,160,256])"), 3'594'824},
                 {"flatten_pvt_v2_b1", v2(""), 12'931'240},
                 {"flatten_pvt_v2_b2", v2(R"(,"depths":[3,4,6,3])"), 22'548'264},
                 {"flatten_pvt_v2_b3", v2(R"(,"depths":[3,4,18,3])"), 38'273'832},
                 {"flatten_pvt_v2_b4", v2(R"(,"depths":[3,8,27,3])"), 51'836'968},
                 {"flatten_pvt_v2_b5", v2(R"(,"depths":[3,6,40,3],"mlp_ratios":[4,4,4,4])"), 67'061'544}};
  f.golden_archs = {"flatten_pvt", "flatten_pvt_*"};
  const std::string tiny =
      R"({"img_size":64,"embed_dims":[8,16,24,32],"num_heads":[1,2,3,4],"mlp_ratios":[2,2,2,2],
                               "depths":[1,1,1,1],"num_classes":10)";
  f.small_specs = {tiny + "}", tiny + R"(,"la_sr_ratios":"4211","attn_type":"LLSS","drop_rate":0.1})",
                   tiny + R"(,"v2":true,"attn_type":"LLSS","qkv_bias":false,"attn_drop_rate":0.1})"};
  f.spec_from_shapes = guess;
  f.spec_from_config = configured;
  return f;
}

}  // namespace pollard::models
