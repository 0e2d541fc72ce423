// SPDX-License-Identifier: Apache-2.0
#include "models/families/bert.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rsub.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <limits>
#include <regex>

#include "models/data/sentence.h"
#include "models/families/bert_spec.h"
#include "models/layers/attention.h"

namespace pollard::models {
namespace {

struct Embeddings : Module {
  Embedding word, position, token_type;
  LayerNorm norm;
  double dropout;
  explicit Embeddings(const BertSpec& s)
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
    const at::Tensor positions = at::arange(ids.size(1), ids.options());
    return at::dropout(norm(word(ids).add(token_type(types)).add(position(positions))), dropout, training());
  }
};

/// Dense, dropout, then LayerNorm of the sum with the residual: attention.output and output.
struct Output : Module {
  Linear dense;
  LayerNorm norm;
  double dropout;
  Output(std::int64_t in, const BertSpec& s)
      : dense(in, s.hidden_size), norm(s.hidden_size, s.layer_norm_eps), dropout(s.hidden_dropout_prob) {
    children({{"dense", dense}, {"LayerNorm", norm}});
  }
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& residual) const {
    return norm(at::dropout(dense(x), dropout, training()).add(residual));
  }
};

struct Layer : Module {
  std::int64_t heads;
  Linear query, key, value;
  Output attention_output;
  Linear intermediate;
  Output output;
  Activation activation;
  double dropout;
  Layer(const BertSpec& s, std::size_t i)
      : heads(s.attention_sizes[i] / s.head_dim()),
        query(s.hidden_size, s.attention_sizes[i]),
        key(s.hidden_size, s.attention_sizes[i]),
        value(s.hidden_size, s.attention_sizes[i]),
        attention_output(s.attention_sizes[i], s),
        intermediate(s.hidden_size, s.intermediate_sizes[i]),
        output(s.intermediate_sizes[i], s),
        activation(activation_from_name(s.hidden_act)),
        dropout(s.attention_probs_dropout_prob) {
    children({{"attention.self.query", query},
              {"attention.self.key", key},
              {"attention.self.value", value},
              {"attention.output", attention_output},
              {"intermediate.dense", intermediate},
              {"output", output}});
  }
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& mask) const {
    const at::Tensor context =
        attention(split_heads(query(x), heads), split_heads(key(x), heads), split_heads(value(x), heads),
                  {.mask = mask, .dropout = training() ? dropout : 0});
    const at::Tensor a = attention_output(merge_heads(context), x);
    return output(activate(intermediate(a), activation), a);
  }
};

class Bert : public Network {
 public:
  explicit Bert(BertSpec spec) : spec_(std::move(spec)), embeddings_(spec_) {
    const std::string& p = spec_.prefix;
    child(p + "embeddings", embeddings_);
    while (std::ssize(layers_) < spec_.num_hidden_layers) layers_.emplace(spec_, layers_.size());
    child(p + "encoder.layer", layers_);
    if (spec_.pooler) child(p + "pooler.dense", pooler_.emplace(spec_.hidden_size, spec_.hidden_size));
    if (spec_.mlm_head) {
      child("cls.predictions.transform.dense", transform_.emplace(spec_.hidden_size, spec_.hidden_size));
      child("cls.predictions.transform.LayerNorm",
            transform_norm_.emplace(spec_.hidden_size, spec_.layer_norm_eps));
      parameter("cls.predictions.bias", decoder_bias_, {spec_.vocab_size});
    }
    set_init([](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
      if (shape.size() == 2) return Init::normal(0.02);
      return key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& ids = inputs.at(0);
    at::Tensor x = embeddings_(ids, inputs.at(2));
    tap("embeddings", x);
    const at::Tensor mask = additive_mask(inputs.at(1), x.scalar_type());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      x = layers_[i](x, mask);
      tap("layer " + std::to_string(i), x);
    }
    tap("last layer", x);
    if (spec_.mlm_head) return Result::dict({{"logits", logits(x)}});
    if (!pooler_) return Result::dict({{"last_hidden_state", x}});
    const at::Tensor pooled = at::tanh((*pooler_)(x.select(1, 0)));
    tap("pooler_output", pooled);
    if (tapping()) tap("sentence embedding", sentence_embedding(x, inputs.at(1)));
    return Result::dict({{"last_hidden_state", x}, {"pooler_output", pooled}});
  }

  std::vector<Example> examples() const override {
    const std::vector<Dim> shape{batch(), sequence(spec_.max_position_embeddings)};
    return {{"input_ids", shape, at::kLong, spec_.vocab_size},
            {"attention_mask", shape, at::kLong, 2, 1},
            {"token_type_ids", shape, at::kLong, spec_.type_vocab_size}};
  }

 private:
  at::Tensor logits(const at::Tensor& x) const {
    const at::Tensor h =
        (*transform_norm_)(activate((*transform_)(x), activation_from_name(spec_.hidden_act)));
    return at::linear(h, embeddings_.word.weight, decoder_bias_);
  }
  /// [B, T] of 1 (keep) and 0 (padding) to [B, 1, 1, T] of 0 and the lowest float32.
  static at::Tensor additive_mask(const at::Tensor& keep, at::ScalarType dtype) {
    const double lowest = std::numeric_limits<float>::lowest();
    return at::rsub(keep.unsqueeze(1).unsqueeze(2).to(dtype), 1.0).mul(lowest);
  }

  BertSpec spec_;
  Embeddings embeddings_;
  ModuleList<Layer> layers_;
  std::optional<Linear> pooler_, transform_;
  std::optional<LayerNorm> transform_norm_;
  at::Tensor decoder_bias_;
};

/// Heads do not show in the shapes: the published widths decide, otherwise 64 a head.
std::int64_t usual_heads(std::int64_t width) {
  return width == 312 || width == 384 ? 12 : std::max<std::int64_t>(1, width / 64);
}

std::string guess(const Shapes& shapes) {
  BertSpec s;
  s.prefix = shapes.has("bert.embeddings.word_embeddings.weight") ? "bert." : "";
  s.pooler = shapes.has(s.prefix + "pooler.dense.weight");
  s.mlm_head = shapes.has("cls.predictions.bias");
  const auto dim = [&](const std::string& layer, std::int64_t d) {
    return shapes.dim(s.prefix + layer + ".weight", d);
  };
  s.vocab_size = dim("embeddings.word_embeddings", 0);
  s.hidden_size = dim("embeddings.word_embeddings", 1);
  s.max_position_embeddings = dim("embeddings.position_embeddings", 0);
  s.type_vocab_size = dim("embeddings.token_type_embeddings", 0);
  s.num_hidden_layers = shapes.count(s.prefix + "encoder.layer.", ".intermediate.dense.weight");
  s.num_attention_heads = usual_heads(s.hidden_size);
  for (std::int64_t i = 0; i < s.num_hidden_layers; ++i) {
    const std::string layer = "encoder.layer." + std::to_string(i) + ".";
    s.attention_sizes.push_back(dim(layer + "attention.self.query", 0));
    s.intermediate_sizes.push_back(dim(layer + "intermediate.dense", 0));
  }
  s.intermediate_size = dim("encoder.layer.0.intermediate.dense", 0);
  return spec_to_json(s);
}

/// Goldens give ids and token types; their notes say how many last positions of the second half of the batch
/// are padding.
std::vector<at::Tensor> golden_inputs(std::vector<at::Tensor> inputs, std::string_view golden) {
  at::Tensor mask = at::ones_like(inputs.at(0));
  static const std::regex pattern("except the last ([0-9]+) positions");
  if (std::cmatch found; std::regex_search(golden.begin(), golden.end(), found, pattern))
    mask.slice(0, mask.size(0) / 2).slice(1, mask.size(1) - std::stoll(found[1])).zero_();
  return {inputs.at(0), mask, inputs.size() > 1 ? inputs.at(1) : at::zeros_like(mask)};
}

}  // namespace

Family bert() {
  Family f = make_family<BertSpec, Bert>(
      "bert", "BERT and MiniLM encoders, with pooler or masked-language-model head");
  f.published = {
      {"all-MiniLM-L6-v2", R"({"hidden_size":384,"num_hidden_layers":6,"intermediate_size":1536})",
       22'713'216},
      {"bert-base-uncased", "{}", 109'482'240},
      {"bert-base-uncased-mlm", R"({"prefix":"bert.","pooler":false,"mlm_head":true})", 109'514'298}};
  f.golden_archs = {"bert*", "minilm*"};
  f.small_specs = {R"({"vocab_size":97,"hidden_size":32,"num_hidden_layers":2,"num_attention_heads":4,
                       "intermediate_size":48,"max_position_embeddings":40,"attention_sizes":[32,16]})",
                   R"({"vocab_size":97,"hidden_size":32,"num_hidden_layers":1,"num_attention_heads":4,
                       "intermediate_size":48,"prefix":"bert.","pooler":false,"mlm_head":true})"};
  f.spec_from_shapes = guess;
  // Files of models with a head repeat the tied decoder; older ones call LayerNorm's parameters gamma and
  // beta.
  f.ignored = {"embeddings.position_ids",        "embeddings.token_type_ids",
               "cls.predictions.decoder.weight", "cls.predictions.decoder.bias",
               "cls.seq_relationship.weight",    "cls.seq_relationship.bias"};
  f.rename = [](const std::string& key) {
    if (key.ends_with(".gamma")) return key.substr(0, key.size() - 5) + "weight";
    if (key.ends_with(".beta")) return key.substr(0, key.size() - 4) + "bias";
    return key;
  };
  f.golden_inputs = golden_inputs;
  f.golden_taps = [](std::string_view golden) -> std::vector<std::string> {
    if (golden.find("cls.predictions.bias") != std::string_view::npos)
      return {"embeddings", "layer 0", "last layer"};
    return {"embeddings", "layer 0", "pooler_output", "sentence embedding"};
  };
  return f;
}

}  // namespace pollard::models
