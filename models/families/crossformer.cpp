// SPDX-License-Identifier: Apache-2.0
#include "models/families/crossformer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/mean.h>

#include "models/families/crossformer_spec.h"
#include "models/layers/attention.h"

namespace pollard::models {
namespace {

/// Linear, GELU, Linear under the keys 0 and 2.
struct Perceptron : Module {
  Linear first, second;
  Perceptron(std::int64_t width, std::int64_t hidden) : first(width, hidden), second(hidden, width) {
    children({{"0", first}, {"2", second}});
  }
  at::Tensor operator()(const at::Tensor& x) const { return second(activate(first(x), Activation::Gelu)); }
};

/// Two-stage attention over x [B, D, L, d]: along the segments, then across the dimensions through the routers.
struct TwoStageAttention : Module {
  at::Tensor router;  ///< [L, c, d]
  ProjectedAttention time_attention, dim_sender, dim_receiver;
  LayerNorm norm1, norm2, norm3, norm4;
  Perceptron mlp1, mlp2;
  double dropout;
  TwoStageAttention(std::int64_t segments, const CrossformerSpec& s)
      : time_attention(s.d_model, s.n_heads, s.dropout),
        dim_sender(s.d_model, s.n_heads, s.dropout),
        dim_receiver(s.d_model, s.n_heads, s.dropout),
        norm1(s.d_model),
        norm2(s.d_model),
        norm3(s.d_model),
        norm4(s.d_model),
        mlp1(s.d_model, s.d_ff),
        mlp2(s.d_model, s.d_ff),
        dropout(s.dropout) {
    parameter("router", router, {segments, s.factor, s.d_model}, Init::normal(1));
    children({{"time_attention", time_attention},
              {"dim_sender", dim_sender},
              {"dim_receiver", dim_receiver},
              {"norm1", norm1},
              {"norm2", norm2},
              {"norm3", norm3},
              {"norm4", norm4},
              {"MLP1", mlp1},
              {"MLP2", mlp2}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const std::int64_t samples = x.size(0), dims = x.size(1), segments = x.size(2), width = x.size(3);
    const at::Tensor t = x.reshape({samples * dims, segments, width});
    at::Tensor a = norm1(t.add(dropped(time_attention(t, t, t))));
    a = norm2(a.add(dropped(mlp1(a))));
    const at::Tensor sent =
        a.view({samples, dims, segments, width}).transpose(1, 2).reshape({samples * segments, dims, width});
    const at::Tensor routers = router.unsqueeze(0)
                                   .expand({samples, segments, router.size(1), width})
                                   .reshape({samples * segments, router.size(1), width});
    const at::Tensor collected = dim_sender(routers, sent, sent);
    at::Tensor b = norm3(sent.add(dropped(dim_receiver(sent, collected, collected))));
    b = norm4(b.add(dropped(mlp2(b))));
    return b.view({samples, segments, dims, width}).transpose(1, 2);
  }

 private:
  at::Tensor dropped(const at::Tensor& x) const { return at::dropout(x, dropout, training()); }
};

/// Merges `win_size` neighbouring segments: their channels side by side, LayerNorm, back to d. A last incomplete
/// window is filled with copies of the last segments.
struct SegmentMerging : Module {
  Linear linear_trans;
  LayerNorm norm;
  std::int64_t window;
  explicit SegmentMerging(const CrossformerSpec& s)
      : linear_trans(s.win_size * s.d_model, s.d_model), norm(s.win_size * s.d_model), window(s.win_size) {
    children({{"linear_trans", linear_trans}, {"norm", norm}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const std::int64_t over = x.size(2) % window;
    const at::Tensor full = over == 0 ? x : at::cat({x, x.slice(2, x.size(2) - (window - over))}, 2);
    return linear_trans(
        norm(full.reshape({full.size(0), full.size(1), full.size(2) / window, window * full.size(3)})));
  }
};

struct EncoderScale : Module {
  std::optional<SegmentMerging> merge_layer;
  TwoStageAttention attention;
  EncoderScale(bool merges, std::int64_t segments, const CrossformerSpec& s) : attention(segments, s) {
    if (merges) child("merge_layer", merge_layer.emplace(s));
    child("encode_layers.0", attention);
  }
  at::Tensor operator()(const at::Tensor& x) const { return attention(merge_layer ? (*merge_layer)(x) : x); }
};

struct DecoderLayer : Module {
  TwoStageAttention self_attention;
  ProjectedAttention cross_attention;
  LayerNorm norm1, norm2;
  Perceptron mlp1;
  Linear linear_pred;
  double dropout;
  explicit DecoderLayer(const CrossformerSpec& s)
      : self_attention(s.out_segments(), s),
        cross_attention(s.d_model, s.n_heads, s.dropout),
        norm1(s.d_model),
        norm2(s.d_model),
        mlp1(s.d_model, s.d_model),
        linear_pred(s.d_model, s.seg_len),
        dropout(s.dropout) {
    children({{"self_attention", self_attention},
              {"cross_attention", cross_attention},
              {"norm1", norm1},
              {"norm2", norm2},
              {"MLP1", mlp1},
              {"linear_pred", linear_pred}});
  }
  /// The stream [B, D, L_out, d], changed in place, and this scale's prediction [B, D, L_out, seg_len].
  at::Tensor operator()(at::Tensor& x, const at::Tensor& scale) const {
    const auto rows = [](const at::Tensor& t) {
      return t.reshape({t.size(0) * t.size(1), t.size(2), t.size(3)});
    };
    const at::Tensor own = self_attention(x), queries = rows(own), keys = rows(scale);
    const at::Tensor crossed = at::dropout(cross_attention(queries, keys, keys), dropout, training());
    const at::Tensor a = norm1(queries.add(crossed));
    x = norm2(a.add(mlp1(a))).view({own.size(0), own.size(1), own.size(2), own.size(3)});
    return linear_pred(x);
  }
};

class Crossformer : public Network {
 public:
  explicit Crossformer(CrossformerSpec spec)
      : spec_(spec), embedding_(spec.seg_len, spec.d_model), pre_norm_(spec.d_model) {
    parameter("enc_pos_embedding", encoder_positions_, {1, spec.data_dim, spec.in_segments(), spec.d_model},
              Init::normal(1));
    parameter("dec_pos_embedding", decoder_positions_, {1, spec.data_dim, spec.out_segments(), spec.d_model},
              Init::normal(1));
    std::int64_t segments = spec.in_segments();
    for (std::int64_t i = 0; i < spec.e_layers; ++i) {
      if (i > 0) segments = CrossformerSpec::ceil_div(segments, spec.win_size);
      scales_.emplace(i > 0, segments, spec);
    }
    while (std::ssize(layers_) <= spec.e_layers) layers_.emplace(spec);
    children({{"enc_value_embedding.linear", embedding_},
              {"pre_norm", pre_norm_},
              {"encoder.encode_blocks", scales_},
              {"decoder.decode_layers", layers_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& series = inputs.at(0);
    const auto encoded = encode(series);
    at::Tensor x = decoder_positions_.expand(
        {series.size(0), spec_.data_dim, spec_.out_segments(), decoder_positions_.size(3)});
    at::Tensor sum;
    for (std::size_t j = 0; j < layers_.size(); ++j) {
      const at::Tensor predicted = layers_[j](x, encoded[j]);
      sum = sum.defined() ? sum.add(predicted) : predicted;
    }
    const at::Tensor forecast = sum.reshape({sum.size(0), sum.size(1), sum.size(2) * sum.size(3)})
                                    .transpose(1, 2)
                                    .slice(1, 0, spec_.out_len);
    return spec_.baseline ? forecast.add(series.mean(1, true)) : forecast;
  }

  std::vector<Example> examples() const override {
    return {{"x_seq", {batch(), spec_.in_len, spec_.data_dim}}};
  }

 private:
  /// The embedded segments, then each scale, fine to coarse.
  std::vector<at::Tensor> encode(const at::Tensor& series) const {
    at::Tensor x = series;
    if (const std::int64_t padding = spec_.in_segments() * spec_.seg_len - spec_.in_len; padding > 0)
      x = at::cat({x.slice(1, 0, 1).expand({x.size(0), padding, x.size(2)}), x}, 1);
    x = x.transpose(1, 2).reshape({x.size(0), x.size(2), spec_.in_segments(), spec_.seg_len});
    x = pre_norm_(embedding_(x).add(encoder_positions_));
    tap("embedding", x);
    std::vector<at::Tensor> out{x};
    for (std::size_t i = 0; i < scales_.size(); ++i) {
      out.push_back(scales_[i](out.back()));
      tap("scale " + std::to_string(i), out.back());
    }
    return out;
  }

  CrossformerSpec spec_;
  at::Tensor encoder_positions_, decoder_positions_;
  Linear embedding_;
  LayerNorm pre_norm_;
  ModuleList<EncoderScale> scales_;
  ModuleList<DecoderLayer> layers_;
};

std::string guess(const Shapes& shapes) {
  CrossformerSpec s;
  s.data_dim = shapes.dim("enc_pos_embedding", 1);
  s.d_model = shapes.dim("enc_pos_embedding", 3);
  s.seg_len = shapes.dim("enc_value_embedding.linear.weight", 1);
  s.in_len = shapes.dim("enc_pos_embedding", 2) * s.seg_len;  // or up to seg_len - 1 less
  s.out_len = shapes.dim("dec_pos_embedding", 2) * s.seg_len;
  s.e_layers = shapes.count("encoder.encode_blocks.", ".encode_layers.0.router");
  const std::string first = "encoder.encode_blocks.0.encode_layers.0.";
  s.factor = shapes.dim(first + "router", 1);
  s.d_ff = shapes.dim(first + "MLP1.0.weight", 0);
  if (s.e_layers > 1)
    s.win_size = shapes.dim("encoder.encode_blocks.1.merge_layer.norm.weight", 0) /
                 std::max<std::int64_t>(1, s.d_model);
  return spec_to_json(s);
}

}  // namespace

Family crossformer() {
  Family f = make_family<CrossformerSpec, Crossformer>("crossformer",
                                                       "forecasts with two-stage attention (Crossformer)");
  f.published = {{"Crossformer-ETTh1-168-24", "{}", 11'301'656}};
  f.small_specs = {
      R"({"data_dim":3,"in_len":14,"out_len":7,"seg_len":4,"factor":2,"d_model":16,"d_ff":24,"n_heads":4,
                       "e_layers":2})",
      R"({"data_dim":3,"in_len":20,"out_len":8,"seg_len":4,"factor":2,"d_model":16,"d_ff":24,"n_heads":2,
                       "e_layers":2,"win_size":3,"baseline":true})"};
  f.golden_archs = {"crossformer*"};
  f.golden_taps = [](std::string_view) -> std::vector<std::string> {
    return {"embedding", "scale 0", "scale 1", "scale 2"};
  };
  f.spec_from_shapes = guess;
  return f;
}

}  // namespace pollard::models
