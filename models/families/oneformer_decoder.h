// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "models/families/oneformer_backbone.h"
#include "models/families/oneformer_pixel_decoder.h"

namespace pollard::models {

/// Linear layers with ReLU between them, keys layers.{i}.0.
struct PredictionMlp : Module {
  std::vector<std::unique_ptr<Linear>> layers;
  PredictionMlp(std::int64_t in, std::int64_t hidden, std::int64_t out, std::int64_t count);
  at::Tensor operator()(at::Tensor x) const;
};

/// OneFormer's task-conditioned decoder. A query transformer turns copies of the task token into queries; with the task
/// token as the last one they pass the decoder's layers, each of which looks only where the mask predicted before it is
/// set (masked attention, Cheng et al., 2022, arXiv 2112.01527):
///
///     x = norm(x + cross(x + query positions, level i mod 3 where mask >= 1/2))
///     x = norm(x + self(x)); x = norm(x + linear2(relu(linear1 x)));   with pre_norm: x + f(norm(x))
///     y = decoder_norm(x); classes = class_embed(y); masks = mask_embed(y) . mask features
class QueryDecoder : public Module {
 public:
  struct Prediction {
    at::Tensor classes;  ///< [B, Q, labels + 1]
    at::Tensor masks;    ///< [B, Q, h, w]
  };
  struct Decoded {
    std::vector<Prediction> predictions;  ///< before the first layer and after each; the last one counts
    at::Tensor contrastive;               ///< [B, Q, C]: the queries as they enter
    at::Tensor queries;                   ///< [B, Q, C]: as they leave
  };

  explicit QueryDecoder(const OneformerSpec& spec);
  /// task [B, C].
  Decoded operator()(const PixelFeatures& pixels, const at::Tensor& task) const;

 private:
  /// f(x) added to x, with a norm before f or after the sum.
  struct Residual {
    bool pre_norm;
    template <class F>
    at::Tensor operator()(const at::Tensor& x, const LayerNorm& norm, F f) const {
      return pre_norm ? x.add(f(norm(x))) : norm(x.add(f(x)));
    }
  };
  /// torch.nn.TransformerDecoderLayer with positions added to queries and keys.
  struct QueryLayer : Module {
    MultiheadAttention self_attn, multihead_attn;
    Linear linear1, linear2;
    LayerNorm norm1, norm2, norm3;
    Residual residual;
    double dropout;
    explicit QueryLayer(const OneformerSpec& s);
    at::Tensor operator()(const at::Tensor& x, const at::Tensor& query_positions, const at::Tensor& keys,
                          const at::Tensor& values) const;
  };
  struct Layer : Module {
    MultiheadAttention cross;
    LayerNorm cross_norm;
    SeparateAttention self;
    LayerNorm self_norm;
    Linear linear1, linear2;
    LayerNorm ffn_norm;
    Residual residual;
    explicit Layer(const OneformerSpec& s);
    at::Tensor operator()(const at::Tensor& x, const at::Tensor& query_positions, const at::Tensor& keys,
                          const at::Tensor& values, const at::Tensor& mask) const;
  };

  at::Tensor start(const at::Tensor& mask_features, const at::Tensor& task) const;
  Prediction predict(const at::Tensor& x, const at::Tensor& mask_features) const;

  OneformerSpec spec_;
  MapPositions positions_;
  Embedding queries_;
  ModuleList<QueryLayer> query_layers_;
  LayerNorm query_norm_, decoder_norm_;
  ModuleList<Layer> layers_;
  Conv2d query_input_projection_;
  Linear class_embed_;
  PredictionMlp mask_embed_;
  Embedding level_embed_;
};

}  // namespace pollard::models
