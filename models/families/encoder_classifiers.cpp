// SPDX-License-Identifier: Apache-2.0
#include "models/families/encoder_classifiers.h"

#include <ATen/ops/relu.h>

#include <cmath>

#include "models/families/encoder_parts.h"
#include "models/layers/conv.h"
#include "models/layers/recurrent.h"

namespace pollard::models {
namespace {

struct SequenceSpec : EncoderSpec {
  std::int64_t input_dim = 32, output_dim = 10, vocab = 0;
  void fields(Fields& f) {
    f.integer("input_dim", input_dim, {0, 1 << 20});
    f.integer("output_dim", output_dim);
    f.integer("vocab", vocab, {0, 1 << 24});
    encoder_fields(f);
    f.require(input_dim > 0 || vocab > 0, "input_dim or vocab is positive");
  }
};

class TransformerModel : public Network {
 public:
  explicit TransformerModel(SequenceSpec spec)
      : spec_(std::move(spec)), encoder_(spec_), fc_(spec_.d_model, spec_.output_dim) {
    if (spec_.vocab > 0)
      child("embedding", table_.emplace(spec_.vocab, spec_.d_model));
    else
      child("embedding", linear_.emplace(spec_.input_dim, spec_.d_model));
    children({{"", encoder_}, {"fc", fc_}});
  }
  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor x = table_ ? (*table_)(inputs.at(0)) : (*linear_)(inputs.at(0));
    return fc_(encoder_(x.mul(std::sqrt(spec_.d_model)).transpose(0, 1)).select(1, -1));
  }
  std::vector<Example> examples() const override {
    if (table_) return {{"ids", {sequence(kPositions), batch()}, at::kLong, spec_.vocab}};
    return {{"x", {sequence(kPositions), batch(), spec_.input_dim}}};
  }

 private:
  SequenceSpec spec_;
  std::optional<Linear> linear_;
  std::optional<Embedding> table_;
  Encoder encoder_;
  Linear fc_;
};

struct CnnSpec : EncoderSpec {
  std::int64_t in_ch = 3, num_classes = 10, image_size = 64;
  std::vector<std::int64_t> widths{32, 64, 128};
  void fields(Fields& f) {
    f.integer("in_ch", in_ch, {1, 4096});
    f.integer("num_classes", num_classes);
    f.integer("image_size", image_size, {1, 1024});
    f.integers("widths", widths, {1, 1 << 16}, 16);
    encoder_fields(f);
    f.require(!widths.empty(), "widths has an entry");
  }
};

class CnnTransformer : public Network {
 public:
  explicit CnnTransformer(CnnSpec spec)
      : spec_(std::move(spec)),
        proj_(spec_.widths.back(), spec_.d_model, 1),
        encoder_(spec_),
        fc_(spec_.d_model, spec_.num_classes) {
    std::int64_t in = spec_.in_ch;
    for (std::size_t k = 0; k < spec_.widths.size(); in = spec_.widths[k++]) {
      const ConvOptions<2> halving{.stride = 2, .padding = 1, .bias = Bias::No};
      child("cnn." + std::to_string(3 * k),
            *convs_.emplace_back(std::make_unique<Conv2d>(in, spec_.widths[k], 3, halving)));
      child("cnn." + std::to_string(3 * k + 1),
            *norms_.emplace_back(std::make_unique<BatchNorm>(spec_.widths[k])));
    }
    children({{"proj", proj_}, {"", encoder_}, {"fc", fc_}});
  }
  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = inputs.at(0);
    for (std::size_t k = 0; k < convs_.size(); ++k) x = at::relu((*norms_[k])((*convs_[k])(x)));
    x = proj_(x);
    tap("cnn feature map", x);
    return fc_(encoder_(x.flatten(2).transpose(1, 2)).mean(1));
  }
  std::vector<Example> examples() const override {
    return {{"x", {batch(), spec_.in_ch, spec_.image_size, spec_.image_size}}};
  }

 private:
  CnnSpec spec_;
  std::vector<std::unique_ptr<Conv2d>> convs_;
  std::vector<std::unique_ptr<BatchNorm>> norms_;
  Conv2d proj_;
  Encoder encoder_;
  Linear fc_;
};

struct RnnSpec : EncoderSpec {
  std::string kind = "lstm";
  std::int64_t input_size = 64, hidden_size = 128, rnn_layers = 2, num_classes = 10;
  bool bidirectional = true;
  void fields(Fields& f) {
    f.text("kind", kind, {"lstm", "gru", "rnn"});
    f.integer("input_size", input_size, {1, 1 << 20});
    f.integer("hidden_size", hidden_size, {1, 1 << 16});
    f.integer("rnn_layers", rnn_layers, {1, 256});
    f.integer("num_classes", num_classes);
    f.flag("bidirectional", bidirectional);
    encoder_fields(f);
  }
};

class RnnTransformer : public Network {
 public:
  explicit RnnTransformer(RnnSpec spec)
      : spec_(std::move(spec)),
        rnn_(cell_from_name(spec_.kind), spec_.input_size, spec_.hidden_size,
             {.layers = spec_.rnn_layers, .bidirectional = spec_.bidirectional}),
        proj_(rnn_.directions() * spec_.hidden_size, spec_.d_model),
        encoder_(spec_),
        fc_(spec_.d_model, spec_.num_classes) {
    children({{"rnn", rnn_}, {"proj", proj_}, {"", encoder_}, {"fc", fc_}});
  }
  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor x = rnn_(inputs.at(0)).output;
    tap("rnn output", x);
    return fc_(encoder_(proj_(x).mul(std::sqrt(spec_.d_model))).select(1, -1));
  }
  std::vector<Example> examples() const override {
    return {{"x", {batch(), sequence(kPositions), spec_.input_size}}};
  }

 private:
  RnnSpec spec_;
  Recurrent rnn_;
  Linear proj_;
  Encoder encoder_;
  Linear fc_;
};

std::string guess_sequence(const Shapes& shapes) {
  SequenceSpec s;
  s.guess(shapes);
  const bool tokens = !shapes.has("embedding.bias");
  s.input_dim = tokens ? 0 : shapes.dim("embedding.weight", 1);
  s.vocab = tokens ? shapes.dim("embedding.weight", 0) : 0;
  s.output_dim = shapes.dim("fc.weight", 0);
  return spec_to_json(s);
}

std::string guess_cnn(const Shapes& shapes) {
  CnnSpec s;
  s.guess(shapes);
  s.in_ch = shapes.dim("cnn.0.weight", 1);
  s.widths.clear();
  for (std::int64_t k = 0; shapes.has("cnn." + std::to_string(k) + ".weight"); k += 3)
    s.widths.push_back(shapes.dim("cnn." + std::to_string(k) + ".weight", 0));
  s.num_classes = shapes.dim("fc.weight", 0);
  return spec_to_json(s);
}

std::string guess_rnn(const Shapes& shapes) {
  RnnSpec s;
  s.guess(shapes);
  s.input_size = shapes.dim("rnn.weight_ih_l0", 1);
  s.hidden_size = shapes.dim("rnn.weight_hh_l0", 1);
  const std::int64_t gates = shapes.dim("rnn.weight_hh_l0", 0) / std::max<std::int64_t>(1, s.hidden_size);
  s.kind = gates == 4 ? "lstm" : gates == 3 ? "gru" : "rnn";
  s.rnn_layers = shapes.count("rnn.weight_ih_l", "");
  s.bidirectional = shapes.has("rnn.weight_ih_l0_reverse");
  s.num_classes = shapes.dim("fc.weight", 0);
  return spec_to_json(s);
}

}  // namespace

Family transformer_model() {
  Family f = make_family<SequenceSpec, TransformerModel>("transformer_model",
                                                         "transformer encoder classifier on sequences");
  f.published = {{"transformer_model", "{}", 1'784'586}};
  f.small_specs = {
      R"({"input_dim":5,"d_model":16,"nhead":4,"num_layers":2,"output_dim":3,"dim_feedforward":32})",
      R"({"vocab":50,"input_dim":0,"d_model":16,"nhead":2,"num_layers":1,"dim_feedforward":32,
                       "activation":"gelu","norm_first":true})"};
  f.golden_archs = {"transformer_model"};
  f.spec_from_shapes = guess_sequence;
  return f;
}

Family cnn_transformer() {
  Family f =
      make_family<CnnSpec, CnnTransformer>("cnn_transformer", "convolutional stem and transformer encoder");
  f.published = {{"cnn_transformer", R"({"num_layers":4,"dim_feedforward":512})", 904'362}};
  f.small_specs = {
      R"({"widths":[8,16],"d_model":16,"nhead":4,"num_layers":2,"dim_feedforward":32,"image_size":32})"};
  f.golden_archs = {"cnn_transformer"};
  f.spec_from_shapes = guess_cnn;
  return f;
}

Family rnn_transformer() {
  Family f =
      make_family<RnnSpec, RnnTransformer>("rnn_transformer", "recurrent network and transformer encoder");
  f.published = {{"rnn_transformer", R"({"dim_feedforward":512})", 1'222'922}};
  f.small_specs = {
      R"({"input_size":6,"hidden_size":8,"d_model":16,"nhead":4,"num_layers":1,"dim_feedforward":32})",
      R"({"kind":"gru","input_size":6,"hidden_size":8,"rnn_layers":1,"d_model":16,"nhead":2,
                       "num_layers":1,"dim_feedforward":32,"bidirectional":false})"};
  f.golden_archs = {"rnn_transformer"};
  f.spec_from_shapes = guess_rnn;
  return f;
}

}  // namespace pollard::models
