// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "models/families/oneformer_spec.h"
#include "models/layers/attention.h"
#include "models/layers/conv.h"

namespace pollard::models {

/// Attention with a matrix each for queries, keys and values: {q,k,v}_proj and the result's, whose name is given.
struct SeparateAttention : Module {
  Linear q_proj, k_proj, v_proj, out;
  std::int64_t heads;
  SeparateAttention(std::int64_t width, std::int64_t heads, const std::string& out_name);
  /// q [B, T, C], k and v [B, S, C].
  at::Tensor operator()(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const at::Tensor& mask = {}) const;
};

/// A Swin transformer as transformers' backbones run it, for images of any size: maps are padded to whole windows before
/// they are rolled, and the shift stays where one window holds the whole map. Four maps [B, H, W, C] come out, at 1/4 to
/// 1/32 of the image, each with a norm of its own.
class OneformerBackbone : public Module {
 public:
  explicit OneformerBackbone(const OneformerSpec& spec);
  std::vector<at::Tensor> operator()(const at::Tensor& image) const;

 private:
  /// Pre-norm, in windows.
  struct Block : Module {
    std::int64_t window;
    WindowLayout layout;  ///< of the spec's image
    LayerNorm layernorm_before, layernorm_after;
    SeparateAttention attention;
    RelativePositionBias bias;
    Mlp mlp;
    at::Tensor mask;
    double drop_rate;
    Block(const OneformerSpec& s, std::size_t stage, bool shifted, double drop_rate);
    at::Tensor operator()(const at::Tensor& x) const;
    at::Tensor mask_of(const WindowLayout& layout, const at::Tensor& x) const;
  };
  struct Stage : Module {
    ModuleList<Block> blocks;
    std::optional<PatchMerging> downsample;
    Stage(const OneformerSpec& s, std::size_t stage);
  };

  std::int64_t patch_;
  Conv2d projection_;
  LayerNorm embed_norm_;
  ModuleList<Stage> stages_;
  std::optional<LayerNorm> unused_norm_;
  std::vector<std::unique_ptr<LayerNorm>> map_norms_;
};

}  // namespace pollard::models
