// SPDX-License-Identifier: Apache-2.0
#include "models/families/rethinking_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/log_softmax.h>

#include <cmath>

#include "models/families/rethinking_attention_parts.h"
#include "models/layers/positions.h"

namespace pollard::models {
namespace {

using namespace rethinking;

struct Pointwise : Module {
  Linear linear1, linear2;
  double p;
  explicit Pointwise(const RethinkingSpec& s)
      : linear1(s.model_dimension, 4 * s.model_dimension),
        linear2(4 * s.model_dimension, s.model_dimension),
        p(s.dropout) {
    children({{"linear1", linear1}, {"linear2", linear2}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    return linear2(dropped(activate(linear1(x), Activation::Relu), p, training()));
  }
};

struct EncoderBlock : Module {
  std::optional<SentenceNetwork> everything, first_half;  // ELR, ALRR
  std::optional<LayerNorm> norm0, norm1;
  std::optional<MultiHeaded> attention;
  std::optional<Pointwise> pointwise;
  double p;
  EncoderBlock(const RethinkingSpec& s, std::int64_t layer) : p(s.dropout) {
    if (s.replaces("ELR", "encoder", layer)) {
      child("FFNetwork", everything.emplace(s, s.sentence()));
      return;
    }
    child("sublayers.0.norm", norm0.emplace(s.model_dimension));
    child("sublayers.1.norm", norm1.emplace(s.model_dimension));
    // ALRR leaves the attention it replaces in the file, unused.
    child("multi_headed_attention", attention.emplace(s, "encoder", layer));
    if (s.replaces("ALRR", "encoder", layer))
      child("sublayer_zero.FFNetwork", first_half.emplace(s, s.sentence()));
    child("pointwise_net", pointwise.emplace(s));
  }
  at::Tensor operator()(const at::Tensor& x, const Words& words) const {
    if (everything) return (*everything)(x, words.present);
    const at::Tensor a = first_half ? (*first_half)(x, words.present)
                                    : x.add(dropped((*attention)((*norm0)(x), words), p, training()));
    return a.add(dropped((*pointwise)((*norm1)(a)), p, training()));
  }
};

struct DecoderBlock : Module {
  LayerNorm norm0, norm1, norm2;
  MultiHeaded own, cross;
  Pointwise pointwise;
  double p;
  DecoderBlock(const RethinkingSpec& s, std::int64_t layer)
      : norm0(s.model_dimension),
        norm1(s.model_dimension),
        norm2(s.model_dimension),
        own(s, "decoder_self", layer),
        cross(s, "decoder_cross", layer),
        pointwise(s),
        p(s.dropout) {
    children({{"sublayers.0.norm", norm0},
              {"sublayers.1.norm", norm1},
              {"sublayers.2.norm", norm2},
              {"trg_multi_headed_attention", own},
              {"src_multi_headed_attention", cross},
              {"pointwise_net", pointwise}});
  }
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& encoded, const Words& source,
                        const Words& target) const {
    const at::Tensor a = x.add(dropped(own.causal(norm0(x), target), p, training()));
    const at::Tensor b = a.add(dropped(cross.across(norm1(a), encoded, source, target), p, training()));
    return b.add(dropped(pointwise(norm2(b)), p, training()));
  }
};

struct WordEmbedding : Module {
  Embedding words;
  at::Tensor table;
  double p;
  WordEmbedding(std::int64_t vocabulary, const RethinkingSpec& s, const std::string& language)
      : words(vocabulary, s.model_dimension), p(s.dropout) {
    buffer(language + "_pos_embedding.positional_encodings_table", table,
           sinusoidal_table(s.model_dimension, RethinkingSpec::kTable));
    child(language + "_embedding.embeddings_table", words);
  }
  at::Tensor operator()(const at::Tensor& ids) const {
    const at::Tensor scaled = words(ids).mul(std::sqrt(static_cast<double>(words.weight.size(1))));
    return dropped(scaled.add(table.slice(0, 0, ids.size(1))), p, training());
  }
};

class RethinkingAttention : public Network {
 public:
  explicit RethinkingAttention(RethinkingSpec spec)
      : spec_(std::move(spec)),
        source_(spec_.src_vocab_size, spec_, "src"),
        target_(spec_.trg_vocab_size, spec_, "trg"),
        encoder_norm_(spec_.model_dimension),
        decoder_norm_(spec_.model_dimension),
        generator_(spec_.model_dimension, spec_.trg_vocab_size) {
    while (std::ssize(encoder_) < spec_.number_of_layers) encoder_.emplace(spec_, std::ssize(encoder_));
    while (std::ssize(decoder_) < spec_.number_of_layers) decoder_.emplace(spec_, std::ssize(decoder_));
    children({{"", source_},
              {"", target_},
              {"encoder.encoder_layers", encoder_},
              {"encoder.norm", encoder_norm_},
              {"decoder.decoder_layers", decoder_},
              {"decoder.norm", decoder_norm_},
              {"decoder_generator.linear", generator_}});
    set_init([](const std::string&, at::IntArrayRef shape) {
      return shape.size() > 1 ? std::optional(Init::xavier_uniform()) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor &source = inputs.at(0), &target = inputs.at(1);
    const Words from = words(source), to = causal(target);
    at::Tensor x = source_(source);
    for (const auto& layer : encoder_) x = (*layer)(x, from);
    const at::Tensor encoded = encoder_norm_(x);
    tap("encoder output", encoded);
    at::Tensor y = target_(target);
    for (const auto& layer : decoder_) y = (*layer)(y, encoded, from, to);
    return at::log_softmax(generator_(decoder_norm_(y)), -1);
  }

  /// Ids from 1: a sentence of padding alone has nothing to attend to.
  std::vector<Example> examples() const override {
    const auto length = [&](const char* name, bool flattened) {
      return Dim(std::min<std::int64_t>(6, spec_.MAX_LEN), name, 1,
                 flattened ? spec_.MAX_LEN : RethinkingSpec::kTable);
    };
    const bool replaced = !spec_.kind.empty(), decoder = spec_.where != "encoder";
    const bool sources = replaced && spec_.where != "decoder_self";
    return {
        {"source_ids", {batch(), length("source", sources)}, at::kLong, spec_.src_vocab_size, 1},
        {"target_ids", {batch(), length("target", replaced && decoder)}, at::kLong, spec_.trg_vocab_size, 1}};
  }

 private:
  Words words(const at::Tensor& ids) const {
    const at::Tensor there = ids.ne(0);
    return {there.unsqueeze(-1).to(generator_.weight.scalar_type()), there.unsqueeze(1).unsqueeze(1)};
  }
  Words causal(const at::Tensor& ids) const {
    Words out = words(ids);
    const at::Tensor position = at::arange(ids.size(1), ids.options());
    out.allowed = out.allowed.logical_and(position.le(position.unsqueeze(1)));
    return out;
  }

  RethinkingSpec spec_;
  WordEmbedding source_, target_;
  ModuleList<EncoderBlock> encoder_;
  ModuleList<DecoderBlock> decoder_;
  LayerNorm encoder_norm_, decoder_norm_;
  Linear generator_;
};

/// No id is padding but the last two of the second half of the batch.
std::vector<at::Tensor> padded(std::vector<at::Tensor> inputs, std::string_view) {
  for (at::Tensor& ids : inputs) {
    ids = ids.clamp_min(1);
    ids.slice(0, ids.size(0) / 2).slice(1, ids.size(1) - 2).zero_();
  }
  return inputs;
}

std::string small(const std::string& changes) {
  return R"({"model_dimension":16,"number_of_heads":2,"number_of_layers":1,"src_vocab_size":20,"trg_vocab_size":20,)"
         R"("MAX_LEN":12)" +
         changes + "}";
}

}  // namespace

Family rethinking_attention() {
  Family f = make_family<RethinkingSpec, RethinkingAttention>(
      "rethinking_attention", "translation Transformer with feed-forward networks in place of attention");
  f.small_specs = {small(""),
                   small(R"(,"kind":"ALR","size":"M","number_of_layers":2,"layers":[1])"),
                   small(R"(,"kind":"ALSR","size":"S")"),
                   small(R"(,"kind":"ALRR","size":"M")"),
                   small(R"(,"kind":"ELR","size":"M")"),
                   small(R"(,"kind":"ALR","where":"decoder_self","size":"M")"),
                   small(R"(,"kind":"ALR","where":"decoder_cross","size":"M")")};
  f.golden_archs = {"rethink_*"};
  f.golden_inputs = padded;
  f.golden_taps = [](std::string_view) -> std::vector<std::string> { return {"encoder output"}; };
  f.spec_from_shapes = guess_rethinking;
  return f;
}

}  // namespace pollard::models
