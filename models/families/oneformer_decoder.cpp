// SPDX-License-Identifier: Apache-2.0
#include "models/families/oneformer_decoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/zeros.h>

namespace pollard::models {
namespace {

/// Where a query may look on a level: where its mask is set, and everywhere when it is set nowhere. [B, 1, Q, h * w].
at::Tensor open_places(const at::Tensor& masks, Grid level) {
  const at::Tensor resized = at::upsample_bilinear2d(masks, {level.h, level.w}, false);
  const at::Tensor blocked = at::sigmoid(resized.flatten(2)).lt(0.5);
  return blocked.logical_not().logical_or(blocked.all(-1, true)).unsqueeze(1);
}

}  // namespace

PredictionMlp::PredictionMlp(std::int64_t in, std::int64_t hidden, std::int64_t out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    layers.push_back(std::make_unique<Linear>(i == 0 ? in : hidden, i + 1 == count ? out : hidden));
    child("layers." + std::to_string(i) + ".0", *layers.back());
  }
}

at::Tensor PredictionMlp::operator()(at::Tensor x) const {
  for (const auto& layer : layers) x = (*layer)(layer == layers.front() ? x : at::relu(x));
  return x;
}

QueryDecoder::QueryLayer::QueryLayer(const OneformerSpec& s)
    : self_attn(s.hidden_dim, s.num_attention_heads, Bias::Yes, s.dropout),
      multihead_attn(s.hidden_dim, s.num_attention_heads, Bias::Yes, s.dropout),
      linear1(s.hidden_dim, s.dim_feedforward),
      linear2(s.dim_feedforward, s.hidden_dim),
      norm1(s.hidden_dim, s.layer_norm_eps),
      norm2(s.hidden_dim, s.layer_norm_eps),
      norm3(s.hidden_dim, s.layer_norm_eps),
      residual{s.pre_norm},
      dropout(s.dropout) {
  children({{"self_attn", self_attn}, {"multihead_attn", multihead_attn}, {"linear1", linear1}});
  children({{"linear2", linear2}, {"norm1", norm1}, {"norm2", norm2}, {"norm3", norm3}});
}

at::Tensor QueryDecoder::QueryLayer::operator()(const at::Tensor& x, const at::Tensor& query_positions,
                                                const at::Tensor& keys, const at::Tensor& values) const {
  const auto drop = [&](const at::Tensor& t) { return dropped(t, dropout, training()); };
  const at::Tensor a = residual(x, norm1, [&](const at::Tensor& t) {
    const at::Tensor placed = t.add(query_positions);
    return drop(self_attn(placed, placed, t));
  });
  const at::Tensor b = residual(a, norm2, [&](const at::Tensor& t) {
    return drop(multihead_attn(t.add(query_positions), keys, values));
  });
  return residual(b, norm3, [&](const at::Tensor& t) { return drop(linear2(drop(at::relu(linear1(t))))); });
}

QueryDecoder::Layer::Layer(const OneformerSpec& s)
    : cross(s.hidden_dim, s.num_attention_heads),
      cross_norm(s.hidden_dim, s.layer_norm_eps),
      self(s.hidden_dim, s.num_attention_heads, "out_proj"),
      self_norm(s.hidden_dim, s.layer_norm_eps),
      linear1(s.hidden_dim, s.dim_feedforward),
      linear2(s.dim_feedforward, s.hidden_dim),
      ffn_norm(s.hidden_dim, s.layer_norm_eps),
      residual{s.pre_norm} {
  children({{"cross_attn.multihead_attn", cross}, {"cross_attn.norm", cross_norm}});
  children({{"self_attn.self_attn", self}, {"self_attn.norm", self_norm}});
  children({{"ffn.linear1", linear1}, {"ffn.linear2", linear2}, {"ffn.norm", ffn_norm}});
}

at::Tensor QueryDecoder::Layer::operator()(const at::Tensor& x, const at::Tensor& query_positions,
                                           const at::Tensor& keys, const at::Tensor& values,
                                           const at::Tensor& mask) const {
  const at::Tensor a = residual(
      x, cross_norm, [&](const at::Tensor& t) { return cross(t.add(query_positions), keys, values, mask); });
  const at::Tensor b = residual(a, self_norm, [&](const at::Tensor& t) {
    const at::Tensor placed = t.add(query_positions);
    return self(placed, placed, t);
  });
  return residual(b, ffn_norm, [&](const at::Tensor& t) { return linear2(at::relu(linear1(t))); });
}

QueryDecoder::QueryDecoder(const OneformerSpec& s)
    : spec_(s),
      positions_(s.hidden_dim),
      queries_(s.num_queries, s.hidden_dim),
      query_norm_(s.hidden_dim, s.layer_norm_eps),
      decoder_norm_(s.hidden_dim, s.layer_norm_eps),
      query_input_projection_(s.conv_dim, s.hidden_dim, 1),
      class_embed_(s.hidden_dim, s.num_labels + 1),
      mask_embed_(s.hidden_dim, s.hidden_dim, s.mask_dim, 3),
      level_embed_(OneformerSpec::kLevels, s.hidden_dim) {
  for (std::int64_t i = 0; i < s.query_dec_layers; ++i) query_layers_.emplace(s);
  for (std::int64_t i = 0; i + 1 < s.decoder_layers; ++i) layers_.emplace(s);
  children({{"position_embedder", positions_},
            {"queries_embedder", queries_},
            {"decoder.query_transformer.decoder.layers", query_layers_},
            {"decoder.query_transformer.decoder.norm", query_norm_},
            {"decoder.decoder_norm", decoder_norm_},
            {"decoder.layers", layers_},
            {"decoder.query_input_projection", query_input_projection_},
            {"decoder.class_embed", class_embed_},
            {"decoder.mask_embed", mask_embed_},
            {"level_embed", level_embed_}});
}

/// [B, Q, C]. Keys and values have changed roles in the published networks: the values are the positions.
at::Tensor QueryDecoder::start(const at::Tensor& mask_features, const at::Tensor& task) const {
  const TokenMap projected = as_tokens(query_input_projection_(mask_features));
  const auto& [tokens, grid] = projected;
  const at::Tensor values = positions_(grid.h, grid.w, tokens.options()).unsqueeze(0).expand_as(tokens);
  const at::Tensor keys = values.add(tokens);
  const std::int64_t batch = task.size(0), learned = spec_.num_queries - 1, width = task.size(1);
  const at::Tensor query_positions = queries_.weight.slice(0, 0, learned).unsqueeze(0);
  at::Tensor x = spec_.use_task_norm ? task.unsqueeze(1).expand({batch, learned, width})
                                     : at::zeros({batch, learned, width}, task.options());
  for (const auto& layer : query_layers_) x = (*layer)(x, query_positions, keys, values);
  return at::cat({query_norm_(x), task.unsqueeze(1)}, 1);
}

QueryDecoder::Prediction QueryDecoder::predict(const at::Tensor& x, const at::Tensor& mask_features) const {
  const at::Tensor y = decoder_norm_(x);
  const at::Tensor masks = at::matmul(mask_embed_(y), mask_features.flatten(2));
  return {class_embed_(y),
          masks.view({masks.size(0), masks.size(1), mask_features.size(2), mask_features.size(3)})};
}

QueryDecoder::Decoded QueryDecoder::operator()(const PixelFeatures& pixels, const at::Tensor& task) const {
  std::vector<at::Tensor> keys, values;
  for (std::size_t l = 0; l < pixels.levels.size(); ++l) {
    const auto& [tokens, grid] = pixels.levels[l];
    values.push_back(tokens.add(level_embed_.weight.select(0, static_cast<std::int64_t>(l))));
    keys.push_back(values.back().add(positions_(grid.h, grid.w, tokens.options())));
  }
  const at::Tensor query_positions = queries_.weight.unsqueeze(0);
  Decoded out;
  out.contrastive = start(pixels.masks, spec_.use_task_norm ? decoder_norm_(task) : task);
  at::Tensor x = out.contrastive;
  out.predictions.push_back(predict(x, pixels.masks));
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const std::size_t level = i % pixels.levels.size();
    const at::Tensor mask = open_places(out.predictions.back().masks, pixels.levels[level].grid);
    x = layers_[i](x, query_positions, keys[level], values[level], mask);
    out.predictions.push_back(predict(x, pixels.masks));
  }
  out.queries = x;
  return out;
}

}  // namespace pollard::models
