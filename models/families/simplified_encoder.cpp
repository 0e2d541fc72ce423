// SPDX-License-Identifier: Apache-2.0
#include "models/families/simplified_encoder.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/scalar_tensor.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "models/families/simplified_encoder_spec.h"
#include "models/layers/attention.h"
#include "models/layers/positions.h"
#include "models/layers/shaped_attention.h"

namespace pollard::models {
namespace {

using Spec = SimplifiedEncoderSpec;

/// Cramming's attention: q, k and v stand together within each head.
struct UsualAttention : Module {
  std::int64_t heads;
  Linear query_key_value, dense;
  at::Tensor norm_factor;
  UsualAttention(const Spec& s, std::size_t i)
      : heads(s.num_attention_heads),
        query_key_value(s.hidden_size, 2 * s.query_sizes[i] + s.hidden_size, Bias::No),
        dense(s.hidden_size, s.hidden_size, Bias::No) {
    children({{"self_attention.query_key_value", query_key_value}, {"dense", dense}});
    const double factor = 1 / std::sqrt(static_cast<double>(s.head_dim()));
    buffer("self_attention.norm_factor", norm_factor, at::scalar_tensor(factor, at::kFloat));
    query_width_ = s.query_sizes[i] / heads;
    value_width_ = s.head_dim();
  }
  at::Tensor operator()(const at::Tensor& x, const Sight& sight) const {
    const at::Tensor by_head = query_key_value(x)
                                   .view({x.size(0), x.size(1), heads, 2 * query_width_ + value_width_})
                                   .transpose(1, 2);
    const auto qkv = by_head.split_with_sizes({query_width_, query_width_, value_width_}, -1);
    return dense(
        merge_heads(attention(qkv[0].mul(norm_factor), qkv[1], qkv[2], {.mask = sight.bias, .scale = 1.0})));
  }

 private:
  std::int64_t query_width_, value_width_;
};

/// [2C, C] of query rows, then key rows, the queries 0.
void blind_queries(at::Tensor& weight, const at::Generator& generator) {
  weight.normal_(0, 0.02, generator);
  weight.narrow(0, 0, weight.size(0) / 2).zero_();
}

/// Attention between identities; the first layer has values of its own.
struct SimpleAttention : Module {
  std::int64_t heads;
  ShapedAttention shaped;
  Linear query_key;
  at::Tensor value_weight, value_skip_gain, value_resid_gain;
  SimpleAttention(const Spec& s, std::size_t i)
      : heads(s.num_attention_heads),
        shaped(heads, {.scale = std::sqrt(static_cast<double>(s.head_dim()))}),
        query_key(s.hidden_size, 2 * s.query_sizes[i], Bias::No) {
    if (i == 0) {
      parameter("value_skip_gain", value_skip_gain, {1}, Init::ones());
      parameter("value_resid_gain", value_resid_gain, {1}, Init::ones());
      parameter("value.weight", value_weight, {s.hidden_size, s.hidden_size}, Init::zeros());
    }
    children({{"", shaped}, {"query_key", query_key}});
  }
  at::Tensor operator()(const at::Tensor& x, const Sight& sight) const {
    const auto qk = query_key(x).chunk(2, -1);
    const at::Tensor v =
        value_weight.defined() ? skip_linear(x, value_weight, true, value_resid_gain, value_skip_gain) : x;
    return merge_heads(
        shaped(split_heads(qk[0], heads), split_heads(qk[1], heads), split_heads(v, heads), sight));
  }
};

/// dense_out(gelu(gate) * x), x and gate the halves of dense_in.
struct GluFeedForward : Module {
  Linear dense_in, dense_out;
  GluFeedForward(std::int64_t width, std::int64_t rows)
      : dense_in(width, rows, Bias::No), dense_out(rows / 2, width, Bias::No) {
    children({{"dense_in", dense_in}, {"dense_out", dense_out}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const auto halves = dense_in(x).chunk(2, -1);
    return dense_out(at::gelu(halves[1]).mul(halves[0]));
  }
};

struct Layer : Module {
  std::optional<LayerNorm> norm1, norm2;
  std::optional<UsualAttention> usual;
  std::optional<SimpleAttention> simple;
  GluFeedForward ffn;
  at::Tensor attn_block_resid_gain, mlp_block_resid_gain, mlp_block_skip_gain;
  Layer(const Spec& s, std::size_t i) : ffn(s.hidden_size, s.intermed_sizes[i]) {
    const bool sequential = s.block != "sasp";
    if (s.shaped()) {
      parameter("attn_block_resid_gain", attn_block_resid_gain, {1}, Init::ones());
      parameter("mlp_block_resid_gain", mlp_block_resid_gain, {1}, Init::constant(0.05));
      if (sequential) parameter("mlp_block_skip_gain", mlp_block_skip_gain, {1}, Init::ones());
    }
    if (s.norm_in_block || i == 0) child("norm1", norm1.emplace(s.hidden_size, s.norm_eps));
    if (s.norm_in_block && sequential) child("norm2", norm2.emplace(s.hidden_size, s.norm_eps));
    if (s.shaped())
      child("attn", simple.emplace(s, i));
    else
      child("attn", usual.emplace(s, i));
    child("ffn", ffn);
  }
  at::Tensor operator()(const at::Tensor& x, const Sight& sight) const {
    const at::Tensor y = norm1 ? (*norm1)(x) : x;
    if (usual) {
      const at::Tensor a = x.add((*usual)(y, sight));
      return a.add(ffn(norm2 ? (*norm2)(a) : a));
    }
    const at::Tensor a = (*simple)(y, sight).mul(attn_block_resid_gain);
    if (!mlp_block_skip_gain.defined()) return ffn(y).mul(mlp_block_resid_gain).add(a);
    return ffn(norm2 ? (*norm2)(a) : a).mul(mlp_block_resid_gain).add(a.mul(mlp_block_skip_gain));
  }
};

class SimplifiedEncoder : public Network {
 public:
  explicit SimplifiedEncoder(Spec spec)
      : spec_(std::move(spec)),
        words_(spec_.vocab_size, spec_.hidden_size, 0),
        embedding_norm_(spec_.hidden_size, spec_.norm_eps),
        final_norm_(spec_.hidden_size, spec_.norm_eps),
        head_(words_, true, spec_.hidden_size) {
    const SinusoidalPositions table(spec_.hidden_size, spec_.max_seq_length);
    parameter("encoder.embedding.pos_embedding.scale_factor", scale_factor_, {1},
              Init::constant(1 / std::sqrt(static_cast<double>(spec_.hidden_size))));
    buffer("encoder.embedding.pos_embedding.pe", positions_, table.pe.unsqueeze(0));
    while (std::ssize(layers_) < spec_.num_transformer_layers) layers_.emplace(spec_, layers_.size());
    children({{"encoder.embedding.word_embedding", words_},
              {"encoder.embedding.norm", embedding_norm_},
              {"encoder.layers", layers_},
              {"encoder.final_norm", final_norm_},
              {"decoder", head_}});
    set_init([](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
      if (key.ends_with("query_key.weight")) return Init::by(blind_queries);
      const bool matrix = shape.size() == 2 && !key.ends_with("value.weight");
      return matrix ? std::optional(Init::normal(0.02)) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& ids = inputs.at(0);
    const at::Tensor positions = positions_.slice(1, 0, ids.size(1)).mul(scale_factor_);
    at::Tensor x = embedding_norm_(words_(ids).add(positions));
    const Sight sight = padded_sight(inputs.at(1), x.scalar_type());
    for (const auto& layer : layers_) x = (*layer)(x, sight);
    x = final_norm_(x);
    tap("final norm", x);
    return Result::dict({{"logits", head_(x)}});
  }

  std::vector<Example> examples() const override {
    const std::vector<Dim> shape{batch(), sequence(spec_.max_seq_length)};
    return {{"input_ids", shape, at::kLong, spec_.vocab_size}, {"attention_mask", shape, at::kLong, 2, 1}};
  }

 private:
  Spec spec_;
  Embedding words_;
  at::Tensor scale_factor_, positions_;
  LayerNorm embedding_norm_, final_norm_;
  ModuleList<Layer> layers_;
  LanguageHead head_;
};

/// Heads show in the simplified blocks alone; otherwise 64 a head.
std::string guess(const Shapes& shapes) {
  Spec s;
  s.vocab_size = shapes.dim("encoder.embedding.word_embedding.weight", 0);
  s.hidden_size = shapes.dim("encoder.embedding.word_embedding.weight", 1);
  if (shapes.has("encoder.embedding.pos_embedding.pe"))
    s.max_seq_length = shapes.dim("encoder.embedding.pos_embedding.pe", 1);
  s.num_transformer_layers = shapes.count("encoder.layers.", ".ffn.dense_in.weight");
  const bool shaped = shapes.has("encoder.layers.0.attn.query_key.weight");
  s.block = !shaped ? "preln" : shapes.has("encoder.layers.0.mlp_block_skip_gain") ? "sas" : "sasp";
  s.num_attention_heads = shaped ? shapes.dim("encoder.layers.0.attn.attn_mat_resid_gain", 1)
                                 : std::max<std::int64_t>(1, s.hidden_size / 64);
  for (std::int64_t i = 0; i < s.num_transformer_layers; ++i) {
    const std::string layer = "encoder.layers." + std::to_string(i) + ".";
    s.query_sizes.push_back(
        shaped ? shapes.dim(layer + "attn.query_key.weight", 0) / 2
               : (shapes.dim(layer + "attn.self_attention.query_key_value.weight", 0) - s.hidden_size) / 2);
    s.intermed_sizes.push_back(shapes.dim(layer + "ffn.dense_in.weight", 0));
  }
  s.intermed_size = shapes.dim("encoder.layers.0.ffn.dense_in.weight", 0);
  const std::string last = "encoder.layers." + std::to_string(s.num_transformer_layers - 1);
  s.norm_in_block = s.num_transformer_layers < 2 || shapes.has(last + ".norm1.weight");
  return spec_to_json(s);
}

/// Cramming's configuration holds objects for embedding and attention.
std::string read_config(std::string_view text, std::string_view, const Shapes&) {
  auto config = nlohmann::json::parse(text, nullptr, false);
  if (!config.is_object()) return "{}";
  for (const char* part : {"embedding", "attention"})
    if (const auto found = config.find(part); found != config.end() && found->is_object())
      for (const char* name : {"vocab_size", "max_seq_length", "num_attention_heads"})
        if (found->contains(name)) config[name] = found->at(name);
  return config.dump();
}

/// Where the golden is masked, row b has its last 3 + b positions masked.
std::vector<at::Tensor> golden_inputs(std::vector<at::Tensor> inputs, std::string_view golden) {
  at::Tensor mask = at::ones_like(inputs.at(0));
  if (nlohmann::json::parse(golden).at("config").value("masked", false))
    for (std::int64_t b = 0; b < mask.size(0); ++b) mask[b].slice(0, mask.size(1) - 3 - b).zero_();
  return {inputs.at(0), mask};
}

}  // namespace

Family simplified_encoder() {
  Family f = make_family<Spec, SimplifiedEncoder>("simplified_encoder",
                                                  "crammed BERT with Pre-LN or simplified blocks");
  f.published = {{"crammed-bert", "{}", 119'589'889},
                 {"simplified-encoder-sas", R"({"block":"sas"})", 101'305'971},
                 {"simplified-encoder-sas-p", R"({"block":"sasp"})", 101'281'379}};
  const auto small = [](const std::string& fields) {
    return R"({"vocab_size":97,"max_seq_length":40,"hidden_size":16,"num_transformer_layers":2,
               "num_attention_heads":2,"intermed_size":24,)" +
           fields + "}";
  };
  f.small_specs = {small(R"("query_sizes":[16,8],"intermed_sizes":[24,16])"), small(R"("block":"sas")"),
                   small(R"("block":"sasp")"), small(R"("block":"sasp","norm_in_block":false)")};
  f.golden_archs = {"simplified_encoder", "crammed_encoder"};
  f.golden_taps = [](std::string_view) -> std::vector<std::string> { return {"final norm", "output"}; };
  f.golden_inputs = golden_inputs;
  f.spec_from_shapes = guess;
  f.spec_from_config = read_config;
  return f;
}

}  // namespace pollard::models
