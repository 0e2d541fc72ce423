// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "models/families/oneformer_spec.h"
#include "models/layers/conv.h"
#include "models/layers/deformable_attention.h"
#include "models/layers/norm.h"
#include "models/layers/positions.h"

namespace pollard::models {

/// One map as tokens, row by row.
struct TokenMap {
  at::Tensor tokens;  ///< [B, h * w, C]
  Grid grid;
};
/// [B, h * w, C] as a map [B, C, h, w], and back.
at::Tensor as_map(const TokenMap& map);
TokenMap as_tokens(const at::Tensor& map);

/// What the pixel decoder makes of the backbone's maps.
struct PixelFeatures {
  std::vector<TokenMap> levels;  ///< 1/32, 1/16, 1/8
  at::Tensor masks;              ///< [B, C, h, w] at 1/4: what queries are multiplied with to become masks
};

/// OneFormer's pixel decoder: the three coarse maps, projected to one width, attend to each other with deformable
/// attention (layers/deformable_attention.h); the finest of them is added to the 1/4 map and becomes mask features.
class PixelDecoder : public Module {
 public:
  explicit PixelDecoder(const OneformerSpec& spec);
  /// The backbone's four maps [B, H, W, C], the largest first.
  PixelFeatures operator()(const std::vector<at::Tensor>& maps) const;

 private:
  /// Post-norm: x = norm(x + attention(x)); x = norm(x + fc2(relu(fc1 x))).
  struct Layer : Module {
    DeformableAttention self_attn;
    LayerNorm self_attn_layer_norm;
    Linear fc1, fc2;
    LayerNorm final_layer_norm;
    double dropout;
    explicit Layer(const OneformerSpec& s);
    at::Tensor operator()(const at::Tensor& x, const at::Tensor& positions, const Centres& centres,
                          const std::vector<Grid>& maps) const;
  };
  /// A convolution and the norm after it, keys 0 and 1.
  struct ConvNorm : Module {
    Conv2d conv;
    GroupNorm norm;
    ConvNorm(std::int64_t in, std::int64_t out, std::int64_t kernel, Bias bias);
    at::Tensor operator()(const at::Tensor& x) const { return norm(conv(x)); }
  };

  at::Tensor level_embed_;
  MapPositions positions_;
  ModuleList<ConvNorm> input_projections_;
  ModuleList<Layer> layers_;
  Conv2d mask_projection_;
  ConvNorm adapter_, layer_;
};

}  // namespace pollard::models
