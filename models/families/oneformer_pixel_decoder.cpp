// SPDX-License-Identifier: Apache-2.0
#include "models/families/oneformer_pixel_decoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include "models/layers/activation.h"

namespace pollard::models {

at::Tensor as_map(const TokenMap& map) {
  const at::Tensor& t = map.tokens;
  return t.transpose(1, 2).reshape({t.size(0), t.size(2), map.grid.h, map.grid.w});
}

TokenMap as_tokens(const at::Tensor& map) {
  return {map.flatten(2).transpose(1, 2), {map.size(2), map.size(3)}};
}

PixelDecoder::Layer::Layer(const OneformerSpec& s)
    : self_attn(s.conv_dim, s.num_attention_heads, OneformerSpec::kLevels, OneformerSpec::kPoints),
      self_attn_layer_norm(s.conv_dim, s.layer_norm_eps),
      fc1(s.conv_dim, s.encoder_feedforward_dim),
      fc2(s.encoder_feedforward_dim, s.conv_dim),
      final_layer_norm(s.conv_dim, s.layer_norm_eps),
      dropout(s.dropout) {
  children({{"self_attn", self_attn},
            {"self_attn_layer_norm", self_attn_layer_norm},
            {"fc1", fc1},
            {"fc2", fc2},
            {"final_layer_norm", final_layer_norm}});
}

at::Tensor PixelDecoder::Layer::operator()(const at::Tensor& x, const at::Tensor& positions,
                                           const Centres& centres, const std::vector<Grid>& maps) const {
  const auto drop = [&](const at::Tensor& t) { return dropped(t, dropout, training()); };
  const at::Tensor y = self_attn_layer_norm(x.add(drop(self_attn(x.add(positions), x, centres, maps))));
  return final_layer_norm(y.add(drop(fc2(drop(at::relu(fc1(y)))))));
}

PixelDecoder::ConvNorm::ConvNorm(std::int64_t in, std::int64_t out, std::int64_t kernel, Bias bias)
    : conv(in, out, kernel, {.padding = kernel / 2, .bias = bias}), norm(OneformerSpec::kGroups, out) {
  children({{"0", conv}, {"1", norm}});
}

PixelDecoder::PixelDecoder(const OneformerSpec& s)
    : positions_(s.conv_dim),
      mask_projection_(s.conv_dim, s.mask_dim, 1),
      adapter_(s.width(0), s.conv_dim, 1, Bias::No),
      layer_(s.conv_dim, s.conv_dim, 3, Bias::No) {
  parameter("level_embed", level_embed_, {OneformerSpec::kLevels, s.conv_dim}, Init::zeros());
  for (std::size_t stage = 3; stage > 0; --stage)
    input_projections_.emplace(s.width(stage), s.conv_dim, 1, Bias::Yes);
  for (std::int64_t i = 0; i < s.encoder_layers; ++i) layers_.emplace(s);
  children({{"position_embedding", positions_},
            {"input_projections", input_projections_},
            {"encoder.layers", layers_},
            {"mask_projection", mask_projection_},
            {"adapter_1", adapter_},
            {"layer_1", layer_}});
}

PixelFeatures PixelDecoder::operator()(const std::vector<at::Tensor>& maps) const {
  std::vector<Grid> grids;
  std::vector<at::Tensor> tokens, positions, parts;
  for (std::size_t l = 0; l < input_projections_.size(); ++l) {
    const TokenMap level = as_tokens(input_projections_[l](maps[3 - l].permute({0, 3, 1, 2})));
    grids.push_back(level.grid);
    tokens.push_back(level.tokens);
    positions.push_back(positions_(level.grid.h, level.grid.w, level.tokens.options())
                            .add(level_embed_.select(0, static_cast<std::int64_t>(l))));
  }
  at::Tensor x = at::cat(tokens, 1);
  const at::Tensor place = at::cat(positions, 0);
  const Centres centres = map_centres(grids, x.options());
  for (const auto& layer : layers_) x = (*layer)(x, place, centres, grids);

  PixelFeatures out;
  for (std::int64_t begin = 0; const Grid grid : grids) {
    out.levels.push_back({x.slice(1, begin, begin + grid.positions()), grid});
    begin += grid.positions();
  }
  const at::Tensor fine = adapter_(maps[0].permute({0, 3, 1, 2}));
  const at::Tensor coarse =
      at::upsample_bilinear2d(as_map(out.levels.back()), {fine.size(2), fine.size(3)}, false);
  out.masks = mask_projection_(at::relu(layer_(fine.add(coarse))));
  return out;
}

}  // namespace pollard::models
