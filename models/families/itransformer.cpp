// SPDX-License-Identifier: Apache-2.0
#include "models/families/itransformer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/var.h>

#include "models/layers/attention.h"
#include "models/layers/conv.h"

namespace pollard::models {
namespace {

struct ItransformerSpec {
  std::int64_t seq_len = 96, pred_len = 96, d_model = 512, n_heads = 8, e_layers = 2;
  std::int64_t d_ff = 0;                         // 0 = 4 d_model
  std::int64_t variates = 7, mark_features = 0;  // of the example; more marks than 0 are a second input
  std::string activation = "gelu";
  bool use_norm = true;
  double dropout = 0.1;

  void fields(Fields& f) {
    f.integer("seq_len", seq_len, {1, 1 << 20});
    f.integer("pred_len", pred_len, {1, 1 << 20});
    f.integer("d_model", d_model, {1, 1 << 16});
    f.integer("n_heads", n_heads, {1, 1024});
    f.integer("e_layers", e_layers, {1, 1024});
    f.integer("d_ff", d_ff, {0, 1 << 20});
    f.integer("variates", variates, {2, 1 << 20});
    f.integer("mark_features", mark_features, {0, 1024});
    f.text("activation", activation, {"gelu", "relu"});
    f.flag("use_norm", use_norm);
    f.real("dropout", dropout);
    f.require(d_model >= n_heads, "d_model is at least n_heads");
    if (d_ff == 0) d_ff = 4 * d_model;
  }
};

struct EncoderBlock : Module {
  ProjectedAttention attention;
  Conv1d conv1, conv2;
  LayerNorm norm1, norm2;
  Activation activation;
  double dropout;
  explicit EncoderBlock(const ItransformerSpec& s)
      : attention(s.d_model, s.n_heads, s.dropout),
        conv1(s.d_model, s.d_ff, 1),
        conv2(s.d_ff, s.d_model, 1),
        norm1(s.d_model),
        norm2(s.d_model),
        activation(activation_from_name(s.activation)),
        dropout(s.dropout) {
    children(
        {{"attention", attention}, {"conv1", conv1}, {"conv2", conv2}, {"norm1", norm1}, {"norm2", norm2}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor a = norm1(x.add(dropped(attention(x, x, x))));
    const at::Tensor hidden = dropped(activate(conv1(a.transpose(1, 2)), activation));
    return norm2(a.add(dropped(conv2(hidden).transpose(1, 2))));
  }

 private:
  at::Tensor dropped(const at::Tensor& x) const { return at::dropout(x, dropout, training()); }
};

class Itransformer : public Network {
 public:
  explicit Itransformer(ItransformerSpec spec)
      : spec_(std::move(spec)),
        embedding_(spec_.seq_len, spec_.d_model),
        norm_(spec_.d_model),
        projector_(spec_.d_model, spec_.pred_len) {
    while (std::ssize(layers_) < spec_.e_layers) layers_.emplace(spec_);
    children({{"enc_embedding.value_embedding", embedding_},
              {"encoder.attn_layers", layers_},
              {"encoder.norm", norm_},
              {"projector", projector_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& series = inputs.at(0);
    if (!spec_.use_norm) return forecast(series, inputs);
    const at::Tensor mean = series.mean(1, true);
    const at::Tensor deviation = at::var(series, {1}, 0, true).add(1e-5).sqrt();
    return forecast(series.sub(mean).div(deviation), inputs).mul(deviation).add(mean);
  }

  std::vector<Example> examples() const override {
    const Dim variates(spec_.variates, "variates", 1, std::nullopt);
    std::vector<Example> out{{"x_enc", {batch(), spec_.seq_len, variates}}};
    if (spec_.mark_features > 0) out.push_back({"x_mark_enc", {batch(), spec_.seq_len, spec_.mark_features}});
    return out;
  }

 private:
  /// [B, S, N] to [B, P, N]; the tokens of time marks are dropped at the end.
  at::Tensor forecast(const at::Tensor& series, const std::vector<at::Tensor>& inputs) const {
    at::Tensor x = series.transpose(1, 2);
    if (inputs.size() > 1) x = at::cat({x, inputs[1].transpose(1, 2)}, 1);
    x = at::dropout(embedding_(x), spec_.dropout, training());
    tap("embedding", x);
    for (const auto& layer : layers_) x = (*layer)(x);
    x = norm_(x);
    tap("encoder", x);
    const at::Tensor out = projector_(x).transpose(1, 2);
    return inputs.size() > 1 ? out.slice(2, 0, series.size(2)) : out;
  }

  ItransformerSpec spec_;
  Linear embedding_;
  ModuleList<EncoderBlock> layers_;
  LayerNorm norm_;
  Linear projector_;
};

std::string guess(const Shapes& shapes) {
  ItransformerSpec s;
  s.d_model = shapes.dim("enc_embedding.value_embedding.weight", 0);
  s.seq_len = shapes.dim("enc_embedding.value_embedding.weight", 1);
  s.pred_len = shapes.dim("projector.weight", 0);
  s.e_layers = shapes.count("encoder.attn_layers.", ".conv1.weight");
  s.d_ff = shapes.dim("encoder.attn_layers.0.conv1.weight", 0);
  return spec_to_json(s);
}

}  // namespace

Family itransformer() {
  Family f = make_family<ItransformerSpec, Itransformer>(
      "itransformer", "forecasts with a token for each variate (iTransformer)");
  f.published = {{"iTransformer-ETTh1-96-96", R"({"d_model":256,"d_ff":256})", 841'568}};
  f.small_specs = {R"({"seq_len":12,"pred_len":6,"d_model":16,"d_ff":24,"n_heads":4,"variates":3})",
                   R"({"seq_len":12,"pred_len":6,"d_model":18,"d_ff":24,"n_heads":4,"e_layers":1,"variates":3,
                       "mark_features":2,"activation":"relu","use_norm":false})"};
  f.golden_archs = {"itransformer*"};
  f.golden_taps = [](std::string_view) -> std::vector<std::string> { return {"embedding", "encoder"}; };
  f.spec_from_shapes = guess;
  return f;
}

}  // namespace pollard::models
