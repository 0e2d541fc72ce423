// SPDX-License-Identifier: Apache-2.0
#include "models/families/oneformer_backbone.h"

#include <ATen/ops/constant_pad_nd.h>

#include <numeric>

#include "models/layers/vision_transformer.h"

namespace pollard::models {

SeparateAttention::SeparateAttention(std::int64_t width, std::int64_t h, const std::string& out_name)
    : q_proj(width, width), k_proj(width, width), v_proj(width, width), out(width, width), heads(h) {
  children({{"q_proj", q_proj}, {"k_proj", k_proj}, {"v_proj", v_proj}, {out_name, out}});
}

at::Tensor SeparateAttention::operator()(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                         const at::Tensor& mask) const {
  return out(merge_heads(attention(split_heads(q_proj(q), heads), split_heads(k_proj(k), heads),
                                   split_heads(v_proj(v), heads), {.mask = mask})));
}

OneformerBackbone::Block::Block(const OneformerSpec& s, std::size_t stage, bool shifted, double drop)
    : window(s.window_size),
      layout(WindowLayout::whole({s.side(stage), s.side(stage)}, s.window_size, shifted)),
      layernorm_before(s.width(stage)),
      layernorm_after(s.width(stage)),
      attention(s.width(stage), s.num_heads[stage], "o_proj"),
      bias(layout.window, s.num_heads[stage], false),
      mlp(s.width(stage), static_cast<std::int64_t>(static_cast<double>(s.width(stage)) * s.mlp_ratio)),
      drop_rate(drop) {
  if (shifted) buffer("attn_mask", mask, layout.mask(), false);
  children({{"attention", attention},
            {"attention.relative_position_bias", bias},
            {"layernorm_before", layernorm_before},
            {"layernorm_after", layernorm_after},
            {"mlp", mlp}});
}

/// The buffer where the map is the spec's image's; another size has its own.
at::Tensor OneformerBackbone::Block::mask_of(const WindowLayout& here, const at::Tensor& x) const {
  const bool same = here.map.h == layout.map.h && here.map.w == layout.map.w;
  return same ? mask : here.mask(x.options());
}

at::Tensor OneformerBackbone::Block::operator()(const at::Tensor& x) const {
  const Grid map{x.size(1), x.size(2)};
  const WindowLayout here = WindowLayout::whole(map, window, mask.defined());
  const at::Tensor between = mask.defined() ? mask_of(here, x) : at::Tensor();
  const at::Tensor a = in_windows(padded(layernorm_before(x), here.map), here, [&](const at::Tensor& parts) {
    return attention(parts, parts, parts, bias(between, x.size(0)));
  });
  const at::Tensor y = x.add(drop_path(cropped(a, map), drop_rate, training()));
  return y.add(drop_path(mlp(layernorm_after(y)), drop_rate, training()));
}

OneformerBackbone::Stage::Stage(const OneformerSpec& s, std::size_t stage) {
  const std::int64_t all = std::accumulate(s.depths.begin(), s.depths.end(), std::int64_t{0});
  const auto first = s.depths.begin(), here = first + static_cast<std::ptrdiff_t>(stage);
  const std::int64_t before = std::accumulate(first, here, std::int64_t{0});
  for (std::int64_t k = 0; k < s.depths[stage]; ++k)
    blocks.emplace(s, stage, k % 2 == 1, drop_path_at(s.drop_path_rate, before + k, all));
  child("blocks", blocks);
  if (stage + 1 < s.depths.size())
    child("downsample", downsample.emplace(s.width(stage), s.width(stage + 1)));
}

OneformerBackbone::OneformerBackbone(const OneformerSpec& s)
    : patch_(s.patch_size),
      projection_(3, s.embed_dim, s.patch_size, {.stride = s.patch_size}),
      embed_norm_(s.embed_dim) {
  children(
      {{"swin.embeddings.patch_embeddings.projection", projection_}, {"swin.embeddings.norm", embed_norm_}});
  for (std::size_t i = 0; i < s.depths.size(); ++i) stages_.emplace(s, i);
  child("swin.encoder.layers", stages_);
  if (s.backbone_layernorm) child("swin.layernorm", unused_norm_.emplace(s.width(s.depths.size() - 1)));
  for (std::size_t i = 0; i < s.depths.size(); ++i) {
    map_norms_.push_back(std::make_unique<LayerNorm>(s.width(i)));
    child("hidden_states_norms.stage" + std::to_string(i + 1), *map_norms_.back());
  }
}

std::vector<at::Tensor> OneformerBackbone::operator()(const at::Tensor& image) const {
  const auto missing = [&](std::int64_t d) { return (patch_ - image.size(d) % patch_) % patch_; };
  const std::int64_t right = missing(3), down = missing(2);
  at::Tensor x = right + down > 0 ? at::constant_pad_nd(image, {0, right, 0, down}) : image;
  x = embed_norm_(projection_(x).permute({0, 2, 3, 1}));
  std::vector<at::Tensor> maps;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    for (const auto& block : stages_[i].blocks) x = (*block)(x);
    maps.push_back((*map_norms_[i])(x));
    if (stages_[i].downsample) x = (*stages_[i].downsample)(x);
  }
  return maps;
}

}  // namespace pollard::models
