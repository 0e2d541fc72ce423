// SPDX-License-Identifier: Apache-2.0
#include "models/families/vit.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>

#include <nlohmann/json.hpp>

#include "models/families/vit_spec.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

std::optional<Init> vit_init(const std::string& key, at::IntArrayRef shape) {
  if (key == "cls_token" || key == "reg_token") return Init::normal(1e-6);
  if (key == "dist_token" || key == "pos_embed" || shape.size() == 2) return Init::truncated_normal(0.02);
  if (key.starts_with("patch_embed.")) return std::nullopt;
  return key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
}

VitBlock::Options block_options(const VitSpec& s, std::int64_t i) {
  return {.width = s.embed_dim,
          .heads = s.num_heads,
          .hidden = s.hidden(),
          .qkv_bias = s.qkv_bias ? Bias::Yes : Bias::No,
          .glu = s.glu(),
          .layer_scale = s.init_values,
          .attention_dropout = s.attn_drop_rate,
          .dropout = s.proj_drop_rate,
          .drop_path = drop_path_at(s.drop_path_rate, i, s.depth)};
}

class Vit : public Network {
 public:
  explicit Vit(VitSpec spec)
      : spec_(std::move(spec)),
        patch_embed_(spec_.embed_dim, spec_.patch_size),
        norm_(spec_.embed_dim, 1e-6) {
    const std::int64_t width = spec_.embed_dim;
    if (spec_.class_token) parameter("cls_token", cls_token_, {1, 1, width});
    if (spec_.distilled) parameter("dist_token", dist_token_, {1, 1, width});
    if (spec_.reg_tokens > 0) parameter("reg_token", reg_token_, {1, spec_.reg_tokens, width});
    parameter("pos_embed", pos_embed_, {1, spec_.positions(), width});
    child("patch_embed", patch_embed_);
    for (std::int64_t i = 0; i < spec_.depth; ++i) blocks_.emplace(block_options(spec_, i));
    child("blocks", blocks_);
    child(average() ? "fc_norm" : "norm", norm_);
    if (spec_.num_classes > 0) child("head", head_.emplace(width, spec_.num_classes));
    if (spec_.num_classes > 0 && spec_.distilled)
      child("head_dist", head_dist_.emplace(width, spec_.num_classes));
    set_init(vit_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = dropped(embed(patch_embed_(inputs.at(0))), spec_.pos_drop_rate, training());
    tap("tokens after pos embed", x);
    TokenMerger merger({.class_token = spec_.class_token, .distill_token = spec_.distilled},
                       spec_.trace_source || tapping());
    for (std::size_t i = 0; i < blocks_.size(); ++i) x = blocks_[i](x, merging(merger, i));
    tap("tokens after last block", x);
    tap_merging(merger, x);
    if (!average()) x = norm_(x);
    tap("normed tokens", x);
    const at::Tensor out = classify(x);
    if (!spec_.trace_source || !merger.source().defined()) return out;
    return Result::dict({{"logits", out}, {"source", merger.source()}});
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.img_size, spec_.img_size}}};
  }

 private:
  bool average() const { return spec_.global_pool == "avg"; }

  /// Adds positions and puts class, distillation and register tokens in front.
  at::Tensor embed(at::Tensor x) const {
    if (spec_.no_embed_class) x = x.add(pos_embed_);
    std::vector<at::Tensor> parts;
    for (const at::Tensor& token : {cls_token_, dist_token_, reg_token_})
      if (token.defined()) parts.push_back(token.expand({x.size(0), token.size(1), token.size(2)}));
    parts.push_back(x);
    if (parts.size() > 1) x = at::cat(parts, 1);
    return spec_.no_embed_class ? x : x.add(pos_embed_);
  }

  std::optional<VitBlock::Merging> merging(TokenMerger& merger, std::size_t layer) const {
    if (spec_.r.empty()) return std::nullopt;
    return VitBlock::Merging{merger, layer < spec_.r.size() ? spec_.r[layer] : 0, spec_.prop_attn};
  }
  /// Where nothing merged, references say 1.
  void tap_merging(const TokenMerger& merger, const at::Tensor& x) const {
    if (spec_.r.empty() || !tapping()) return;
    const at::Tensor none = at::ones({1}, x.options());
    tap("token sizes", merger.sizes().defined() ? merger.sizes() : none);
    tap("token source", merger.source().defined() ? merger.source() : none);
  }

  at::Tensor classify(const at::Tensor& x) const {
    at::Tensor pooled = average() ? norm_(x.slice(1, spec_.prefix()).mean(1)) : x.select(1, 0);
    pooled = dropped(pooled, spec_.drop_rate, training());
    if (!head_) return pooled;
    if (!head_dist_) return (*head_)(pooled);
    return (*head_)(pooled).add((*head_dist_)(x.select(1, 1))).div(2);
  }

  VitSpec spec_;
  at::Tensor cls_token_, dist_token_, reg_token_, pos_embed_;
  PatchEmbed patch_embed_;
  ModuleList<VitBlock> blocks_;
  LayerNorm norm_;
  std::optional<Linear> head_, head_dist_;
};

std::string guess(const Shapes& shapes) {
  VitSpec s;
  s.embed_dim = shapes.dim("pos_embed", 2);
  s.class_token = shapes.has("cls_token");
  s.distilled = shapes.has("dist_token");
  s.reg_tokens = shapes.has("reg_token") ? shapes.dim("reg_token", 1) : 0;
  s.global_pool = shapes.has("fc_norm.weight") ? "avg" : "token";
  s.num_classes = shapes.has("head.weight") ? shapes.dim("head.weight", 0) : 0;
  s.patch_size = shapes.dim("patch_embed.proj.weight", 3);
  s.depth = shapes.count("blocks.", ".attn.qkv.weight");
  s.num_heads = s.embed_dim % 64 == 0 ? s.embed_dim / 64 : 1;
  s.qkv_bias = shapes.has("blocks.0.attn.qkv.bias");
  s.init_values = shapes.has("blocks.0.ls1.gamma") ? 1e-5 : 0;
  const std::int64_t rows = shapes.dim("blocks.0.mlp.fc1.weight", 0);
  s.mlp_layer = shapes.dim("blocks.0.mlp.fc2.weight", 1) == rows ? "mlp" : "swiglu_packed";
  s.mlp_ratio = static_cast<double>(rows) / static_cast<double>(std::max<std::int64_t>(1, s.embed_dim));
  const std::int64_t positions = shapes.dim("pos_embed", 1), grid = square_root(positions);
  s.no_embed_class = s.prefix() > 0 && grid * grid == positions;
  s.img_size = s.patch_size * square_root(positions - (s.no_embed_class ? 0 : s.prefix()));
  return spec_to_json(s);
}

/// Token Merging's r: a number, {"r", "inflect"} or a list.
std::string read_schedule(std::string_view config, std::string_view, const Shapes& shapes) {
  auto json = nlohmann::json::parse(config, nullptr, false);
  if (!json.is_object() || !json.contains("r")) return std::string(config);
  const auto r = json.at("r");
  const std::int64_t layers = json.value("depth", shapes.count("blocks.", ".attn.qkv.weight"));
  if (r.is_number_integer())
    json["r"] = merge_schedule(r.get<std::int64_t>(), 0, layers);
  else if (r.is_object())
    json["r"] = merge_schedule(r.value("r", std::int64_t{0}), r.value("inflect", 0.0), layers);
  return json.dump();
}

std::vector<std::string> golden_taps(std::string_view golden) {
  if (golden.find("\"prop_attn\"") != std::string_view::npos)
    return {"tokens after last block", "token sizes", "token source"};
  return {"normed tokens", "output"};
}

constexpr const char* kDinoSmall =
    R"({"img_size":518,"patch_size":14,"embed_dim":384,"num_heads":6,"num_classes":0,"reg_tokens":4,
        "no_embed_class":true,"init_values":1e-5})";
constexpr const char* kDinoBase =
    R"({"img_size":518,"patch_size":14,"num_classes":0,"reg_tokens":4,"no_embed_class":true,"init_values":1e-5})";
constexpr const char* kDinoLarge =
    R"({"img_size":518,"patch_size":14,"embed_dim":1024,"depth":24,"num_heads":16,"num_classes":0,"reg_tokens":4,
        "no_embed_class":true,"init_values":1e-5})";
constexpr const char* kDinoGiant =
    R"({"img_size":518,"patch_size":14,"embed_dim":1536,"depth":40,"num_heads":24,"num_classes":0,"reg_tokens":4,
        "no_embed_class":true,"init_values":1e-5,"mlp_layer":"swiglu_packed","mlp_ratio":5.33334})";
constexpr const char* kMediumGap =
    R"({"img_size":256,"embed_dim":512,"num_heads":8,"reg_tokens":4,"no_embed_class":true,"class_token":false,
        "global_pool":"avg","init_values":1e-5})";

}  // namespace

Family vit() {
  Family f = make_family<VitSpec, Vit>(
      "vit", "ViT, DeiT, DINOv2 with registers and Token Merging, with timm's keys");
  f.published = {
      {"vit_base_patch16_224", "{}", 86'567'656},
      {"deit_tiny_patch16_224", R"({"embed_dim":192,"num_heads":3})", 5'717'416},
      {"deit_small_patch16_224", R"({"embed_dim":384,"num_heads":6})", 22'050'664},
      {"deit_small_distilled_patch16_224", R"({"embed_dim":384,"num_heads":6,"distilled":true})", 22'436'432},
      {"vit_small_patch14_reg4_dinov2", kDinoSmall, 22'057'344},
      {"vit_base_patch14_reg4_dinov2", kDinoBase, 86'582'016},
      {"vit_large_patch14_reg4_dinov2", kDinoLarge, 304'370'688},
      {"vit_giant_patch14_reg4_dinov2", kDinoGiant, 1'136'483'840},
      {"vit_medium_patch16_reg4_gap_256", kMediumGap, 38'881'768}};
  f.golden_archs = {"vit", "vit_*", "deit_distilled", "tome"};
  const std::string tiny =
      R"({"img_size":16,"patch_size":4,"embed_dim":32,"depth":2,"num_heads":4,"num_classes":10)";
  f.small_specs = {tiny + "}",
                   tiny + R"(,"distilled":true,"qkv_bias":false,"drop_path_rate":0.2,"proj_drop_rate":0.1})",
                   tiny + R"(,"class_token":false,"global_pool":"avg","drop_rate":0.1})",
                   tiny + R"(,"reg_tokens":3,"no_embed_class":true,"init_values":0.1})",
                   tiny + R"(,"reg_tokens":2,"class_token":false,"global_pool":"avg","init_values":0.1})",
                   tiny + R"(,"mlp_layer":"swiglu_packed","reg_tokens":4,"num_classes":0})",
                   tiny + R"(,"r":[4,3]})",
                   tiny + R"(,"r":[3],"distilled":true,"trace_source":true})",
                   tiny + R"(,"r":[4,4],"class_token":false,"global_pool":"avg","prop_attn":false})"};
  f.spec_from_shapes = guess;
  f.spec_from_config = read_schedule;
  f.golden_taps = golden_taps;
  return f;
}

}  // namespace pollard::models
