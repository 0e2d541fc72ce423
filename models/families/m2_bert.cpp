// SPDX-License-Identifier: Apache-2.0
#include "models/families/m2_bert.h"

#include <ATen/ops/dropout.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros_like.h>

#include "models/families/decoder_parts.h"
#include "models/layers/activation.h"
#include "models/layers/conv.h"
#include "models/layers/long_convolution.h"
#include "models/layers/monarch.h"
#include "models/layers/norm.h"

namespace pollard::models {
namespace {

struct M2BertSpec {
  std::int64_t vocab_size = 30528, hidden_size = 768, num_hidden_layers = 12, intermediate_size = 3072;
  std::int64_t max_position_embeddings = 128, type_vocab_size = 2, pad_token_id = 0;
  std::int64_t long_conv_l_max = 128, hyena_emb_dim = 5, hyena_filter_order = 128, monarch_mlp_nblocks = 4;
  double hyena_w = 10, hyena_w_mod = 1, layer_norm_eps = 1e-12, hidden_dropout_prob = 0.1;
  std::string hidden_act = "gelu";
  bool bidirectional = true, residual_long_conv = true;
  bool hyena_training_additions = false;  // a LayerNorm in front of the mixer
  /// Gated units of each layer: they may have been pruned.
  std::vector<std::int64_t> intermediate_sizes;

  void fields(Fields& f) {
    f.integer("vocab_size", vocab_size);
    f.integer("hidden_size", hidden_size, {1, 1 << 16});
    f.integer("num_hidden_layers", num_hidden_layers, {1, 1024});
    f.integer("intermediate_size", intermediate_size, {1, 1 << 20});
    f.integer("max_position_embeddings", max_position_embeddings, {1, 1 << 20});
    f.integer("type_vocab_size", type_vocab_size, {1, 1024});
    f.integer("pad_token_id", pad_token_id, {0, 1 << 24});
    f.integer("long_conv_l_max", long_conv_l_max, {1, 1 << 20});
    f.integer("hyena_emb_dim", hyena_emb_dim, {3, 4097});
    f.integer("hyena_filter_order", hyena_filter_order, {1, 1 << 16});
    f.integer("monarch_mlp_nblocks", monarch_mlp_nblocks, {1, 1024});
    f.real("hyena_w", hyena_w);
    f.real("hyena_w_mod", hyena_w_mod);
    f.real("layer_norm_eps", layer_norm_eps);
    f.real("hidden_dropout_prob", hidden_dropout_prob);
    f.text("hidden_act", hidden_act, {"gelu", "gelu_new", "relu", "silu", "tanh"});
    f.flag("bidirectional", bidirectional);
    f.flag("residual_long_conv", residual_long_conv);
    f.flag("hyena_training_additions", hyena_training_additions);
    f.require(hyena_emb_dim % 2 == 1, "hyena_emb_dim is odd");
    f.require(pad_token_id < vocab_size, "pad_token_id is below vocab_size");
    layer_sizes(f, "intermediate_sizes", intermediate_sizes, num_hidden_layers, intermediate_size);
  }
  std::int64_t longest() const { return std::min(max_position_embeddings, long_conv_l_max); }
  LongConvolution::Options convolution() const {
    return {.width = hidden_size,
            .longest = long_conv_l_max,
            .features = hyena_emb_dim,
            .order = hyena_filter_order,
            .w = hyena_w,
            .w_mod = hyena_w_mod,
            .bidirectional = bidirectional};
  }
};

struct Embeddings : Module {
  Embedding word, position, token_type;
  LayerNorm norm;
  double dropout;
  explicit Embeddings(const M2BertSpec& s)
      : word(s.vocab_size, s.hidden_size, s.pad_token_id),
        position(s.max_position_embeddings, s.hidden_size),
        token_type(s.type_vocab_size, s.hidden_size),
        norm(s.hidden_size, s.layer_norm_eps),
        dropout(s.hidden_dropout_prob) {
    children({{"word_embeddings", word},
              {"position_embeddings", position},
              {"token_type_embeddings", token_type},
              {"LayerNorm", norm}});
  }
  at::Tensor operator()(const at::Tensor& ids, const at::Tensor& types) const {
    const at::Tensor x = word(ids).add(token_type(types)).add(position(positions_of(ids)));
    return at::dropout(norm(x), dropout, training());
  }
};

/// out(x2 * conv(x1 * v) + conv2(u)) of [x1 | x2 | v] = a short causal convolution of in(u). No residual, no norm after.
struct SequenceMixer : Module {
  std::optional<LayerNorm> layernorm;
  Linear in_linear, out_linear;
  Conv1d short_filter;
  LongConvolution filter_fn;
  std::optional<LongConvolution> filter_fn2;
  explicit SequenceMixer(const M2BertSpec& s)
      : in_linear(s.hidden_size, 3 * s.hidden_size),
        out_linear(s.hidden_size, s.hidden_size),
        short_filter(3 * s.hidden_size, 3 * s.hidden_size, 3, {.padding = 2, .groups = 3 * s.hidden_size}),
        filter_fn(s.convolution()) {
    child("filter_fn", filter_fn);
    if (s.residual_long_conv) child("filter_fn2", filter_fn2.emplace(s.convolution()));
    if (s.hyena_training_additions) child("layernorm", layernorm.emplace(s.hidden_size));
    children({{"in_linear", in_linear}, {"out_linear", out_linear}, {"short_filter", short_filter}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor u = layernorm ? (*layernorm)(x) : x;
    const at::Tensor short_range = short_filter(in_linear(u).transpose(1, 2)).slice(2, 0, u.size(1));
    const auto parts = short_range.chunk(3, 1);
    at::Tensor y = filter_fn(parts[2].mul(parts[0])).mul(parts[1]);
    if (filter_fn2) y = y.add((*filter_fn2)(u.transpose(1, 2)));
    return out_linear(y.transpose(1, 2));
  }
};

/// layernorm(x + wo(gelu(gate) * value)), gate and value the halves of gated_layers(x).
struct GatedMlp : Module {
  BlockdiagLinear gated_layers, wo;
  LayerNorm layernorm;
  double dropout;
  GatedMlp(const M2BertSpec& s, std::int64_t units)
      : gated_layers(s.hidden_size, 2 * units, s.monarch_mlp_nblocks, Bias::No),
        wo(units, s.hidden_size, s.monarch_mlp_nblocks),
        layernorm(s.hidden_size, s.layer_norm_eps),
        dropout(s.hidden_dropout_prob) {
    children({{"gated_layers", gated_layers}, {"wo", wo}, {"layernorm", layernorm}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const auto halves = gated_layers(x).chunk(2, -1);
    const at::Tensor hidden = at::dropout(at::gelu(halves[0]).mul(halves[1]), dropout, training());
    return layernorm(wo(hidden).add(x));
  }
};

struct Layer : Module {
  SequenceMixer attention;
  GatedMlp mlp;
  Layer(const M2BertSpec& s, std::size_t i) : attention(s), mlp(s, s.intermediate_sizes[i]) {
    children({{"attention", attention}, {"mlp", mlp}});
  }
};

class M2Bert : public Network {
 public:
  explicit M2Bert(M2BertSpec spec)
      : spec_(std::move(spec)),
        embeddings_(spec_),
        transform_(spec_.hidden_size, spec_.hidden_size),
        transform_norm_(spec_.hidden_size, 1e-12),
        activation_(activation_from_name(spec_.hidden_act)) {
    while (std::ssize(layers_) < spec_.num_hidden_layers) layers_.emplace(spec_, layers_.size());
    children({{"bert.embeddings", embeddings_},
              {"bert.encoder.layer", layers_},
              {"cls.predictions.transform.dense", transform_},
              {"cls.predictions.transform.LayerNorm", transform_norm_}});
    parameter("cls.predictions.decoder.bias", decoder_bias_, {spec_.vocab_size});
    tie("cls.predictions.decoder.weight", embeddings_.word.weight);
    set_init([](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
      const bool filter = key.find("implicit_filter") != std::string::npos;
      if (shape.size() == 2 && !filter) return Init::normal(0.02);
      return key.ends_with("linear.bias") ? std::optional(Init::zeros()) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = embeddings_(inputs.at(0), inputs.at(1));
    tap("embeddings", x);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const std::string name = "layer " + std::to_string(i);
      x = layers_[i].attention(x);
      tap(name + " mixer", x);
      x = layers_[i].mlp(x);
      tap(name, x);
    }
    tap("last layer", x);
    x = transform_norm_(activate(transform_(x), activation_));
    return Result::dict({{"logits", at::linear(x, embeddings_.word.weight, decoder_bias_)}});
  }

  std::vector<Example> examples() const override {
    const std::vector<Dim> shape{batch(), sequence(spec_.longest())};
    return {{"input_ids", shape, at::kLong, spec_.vocab_size},
            {"token_type_ids", shape, at::kLong, spec_.type_vocab_size}};
  }

 private:
  M2BertSpec spec_;
  Embeddings embeddings_;
  ModuleList<Layer> layers_;
  Linear transform_;
  LayerNorm transform_norm_;
  at::Tensor decoder_bias_;
  Activation activation_;
};

std::string guess(const Shapes& shapes) {
  M2BertSpec s;
  const std::string layers = "bert.encoder.layer.", first = layers + "0.attention.";
  s.vocab_size = shapes.dim("bert.embeddings.word_embeddings.weight", 0);
  s.hidden_size = shapes.dim("bert.embeddings.word_embeddings.weight", 1);
  s.max_position_embeddings = shapes.dim("bert.embeddings.position_embeddings.weight", 0);
  s.type_vocab_size = shapes.dim("bert.embeddings.token_type_embeddings.weight", 0);
  s.num_hidden_layers = shapes.count(layers, ".mlp.gated_layers.weight");
  s.long_conv_l_max = shapes.dim(first + "filter_fn.pos_emb.z", 1);
  s.hyena_emb_dim = shapes.dim(first + "filter_fn.pos_emb.z", 2);
  s.hyena_filter_order = shapes.dim(first + "filter_fn.implicit_filter.0.weight", 0);
  s.bidirectional = shapes.has(first + "filter_fn.implicit_filter_rev.0.weight");
  s.residual_long_conv = shapes.has(first + "filter_fn2.bias");
  s.hyena_training_additions = shapes.has(first + "layernorm.weight");
  for (std::int64_t i = 0; i < s.num_hidden_layers; ++i) {
    const std::string weight = layers + std::to_string(i) + ".mlp.gated_layers.weight";
    s.monarch_mlp_nblocks = shapes.dim(weight, 0);
    s.intermediate_sizes.push_back(s.monarch_mlp_nblocks * shapes.dim(weight, 1) / 2);
  }
  s.intermediate_size = s.intermediate_sizes.at(0);
  return spec_to_json(s);
}

}  // namespace

Family m2_bert() {
  Family f = make_family<M2BertSpec, M2Bert>("m2_bert", "M2-BERT: Monarch Mixer encoders for masked words");
  f.published = {{"m2-bert-80m", "{}", 80'267'328},
                 {"m2-bert-110m", R"({"hidden_size":960,"intermediate_size":3840})", 115'583'616},
                 {"m2-bert-260m", R"({"hidden_size":1536,"intermediate_size":6144})", 259'133'760},
                 {"m2-bert-341m", R"({"hidden_size":1792,"intermediate_size":7168})", 341'038'144}};
  const auto small = [](const std::string& fields) {
    return R"({"vocab_size":97,"hidden_size":16,"num_hidden_layers":2,"intermediate_size":32,
               "max_position_embeddings":24,"long_conv_l_max":24,"hyena_filter_order":6,)" +
           fields + "}";
  };
  f.small_specs = {small(R"("intermediate_sizes":[32,16])"),
                   small(R"("bidirectional":false,"residual_long_conv":false,"hyena_training_additions":true,
                            "monarch_mlp_nblocks":2)")};
  f.golden_archs = {"m2_bert_*"};
  f.golden_taps = [](std::string_view) -> std::vector<std::string> {
    return {"output", "embeddings", "layer 0 mixer", "layer 0", "last layer"};
  };
  f.golden_inputs = [](std::vector<at::Tensor> inputs, std::string_view) {
    inputs.push_back(at::zeros_like(inputs.at(0)));
    return inputs;
  };
  f.spec_from_shapes = guess;
  f.ignored = {"embeddings.position_ids", "embeddings.token_type_ids"};
  return f;
}

}  // namespace pollard::models
