// SPDX-License-Identifier: Apache-2.0
#include "models/families/rnn_classifier.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>

#include "models/layers/linear.h"
#include "models/layers/recurrent.h"

namespace pollard::models {
namespace {

struct RnnSpec {
  std::string kind = "lstm", nonlinearity = "tanh", last = "output";
  std::int64_t input_size = 128, hidden_size = 256, num_layers = 2, output_size = 4, vocab = 0;
  bool bidirectional = true, bias = true;

  void fields(Fields& f) {
    f.text("kind", kind, {"lstm", "gru", "rnn"});
    f.text("nonlinearity", nonlinearity, {"tanh", "relu"});
    f.text("last", last, {"output", "hidden"});
    f.integer("input_size", input_size, {1, 1 << 20});
    f.integer("hidden_size", hidden_size, {1, 1 << 16});
    f.integer("num_layers", num_layers, {1, 256});
    f.integer("output_size", output_size);
    f.integer("vocab", vocab, {0, 1 << 24});
    f.flag("bidirectional", bidirectional);
    f.flag("bias", bias);
  }
};

class RnnClassifier : public Network {
 public:
  explicit RnnClassifier(RnnSpec spec)
      : spec_(std::move(spec)),
        rnn_(cell_from_name(spec_.kind, spec_.nonlinearity), spec_.input_size, spec_.hidden_size,
             {.layers = spec_.num_layers, .bidirectional = spec_.bidirectional, .bias = spec_.bias}),
        fc_(rnn_.directions() * spec_.hidden_size, spec_.output_size) {
    if (spec_.vocab > 0) child("embedding", embedding_.emplace(spec_.vocab, spec_.input_size));
    children({{spec_.kind, rnn_}, {"fc", fc_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const auto [output, hidden, cell] = rnn_(embedding_ ? (*embedding_)(inputs.at(0)) : inputs.at(0));
    tap("output sequence", output);
    tap("h_n", hidden);
    if (cell.defined()) tap("c_n", cell);
    return fc_(spec_.last == "output" ? output.select(1, -1) : final_hidden(hidden));
  }

  std::vector<Example> examples() const override {
    if (embedding_) return {{"ids", {batch(), sequence()}, at::kLong, spec_.vocab}};
    return {{"x", {batch(), sequence(), spec_.input_size}}};
  }

 private:
  /// The last layer's state after the last step of each direction; output[:, -1] has the reverse direction's
  /// first.
  at::Tensor final_hidden(const at::Tensor& hidden) const {
    if (!spec_.bidirectional) return hidden.select(0, -1);
    return at::cat({hidden.select(0, -2), hidden.select(0, -1)}, -1);
  }

  RnnSpec spec_;
  std::optional<Embedding> embedding_;
  Recurrent rnn_;
  Linear fc_;
};

struct AgNewsSpec {
  std::int64_t input_dim = 5002, embedding_dim = 128, hidden_dim = 256, num_layers = 2, output_dim = 4,
               pad_idx = 1;
  double dropout = 0.5;

  void fields(Fields& f) {
    f.integer("input_dim", input_dim);
    f.integer("embedding_dim", embedding_dim, {1, 1 << 16});
    f.integer("hidden_dim", hidden_dim, {1, 1 << 16});
    f.integer("num_layers", num_layers, {2, 2});
    f.integer("output_dim", output_dim);
    f.integer("pad_idx", pad_idx, {0, 1 << 24});
    f.real("dropout", dropout);
    f.require(pad_idx < input_dim, "pad_idx is below input_dim");
  }
};

class AgNewsLstm : public Network {
 public:
  explicit AgNewsLstm(AgNewsSpec spec)
      : spec_(spec),
        embedding_(spec.input_dim, spec.embedding_dim, spec.pad_idx),
        fc1_(2 * spec.hidden_dim, 64),
        fc2_(64, spec.output_dim) {
    for (const std::int64_t in : {spec.embedding_dim, 2 * spec.hidden_dim})
      rnn_.emplace(Cell::Lstm, in, spec.hidden_dim,
                   RecurrentOptions{.bidirectional = true, .batch_first = false});
    children({{"embedding", embedding_}, {"rnn", rnn_}, {"fc1", fc1_}, {"fc2", fc2_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const auto first = rnn_[0](dropped(embedding_(inputs.at(0))));
    const auto second = rnn_[1](dropped(first.output));
    const at::Tensor both = at::cat({second.hidden.select(0, -2), second.hidden.select(0, -1)}, 1);
    return fc2_(dropped(fc1_(dropped(both))));
  }

  std::vector<Example> examples() const override {
    return {{"ids", {sequence(), batch()}, at::kLong, spec_.input_dim}};
  }

 private:
  at::Tensor dropped(const at::Tensor& x) const { return at::dropout(x, spec_.dropout, training()); }

  AgNewsSpec spec_;
  Embedding embedding_;
  ModuleList<Recurrent> rnn_;
  Linear fc1_, fc2_;
};

std::string guess(const Shapes& shapes) {
  RnnSpec s;
  for (const char* kind : {"lstm", "gru", "rnn"})
    if (shapes.has(std::string(kind) + ".weight_ih_l0")) s.kind = kind;
  s.input_size = shapes.dim(s.kind + ".weight_ih_l0", 1);
  s.hidden_size = shapes.dim(s.kind + ".weight_hh_l0", 1);
  s.num_layers = shapes.count(s.kind + ".weight_ih_l", "");
  s.output_size = shapes.dim("fc.weight", 0);
  if (shapes.has("embedding.weight")) s.vocab = shapes.dim("embedding.weight", 0);
  s.bidirectional = shapes.has(s.kind + ".weight_ih_l0_reverse");
  s.bias = shapes.has(s.kind + ".bias_ih_l0");
  return spec_to_json(s);
}

std::string guess_agnews(const Shapes& shapes) {
  AgNewsSpec s;
  s.input_dim = shapes.dim("embedding.weight", 0);
  s.embedding_dim = shapes.dim("embedding.weight", 1);
  s.hidden_dim = shapes.dim("rnn.1.weight_hh_l0", 1);
  s.output_dim = shapes.dim("fc2.weight", 0);
  s.pad_idx = std::min(s.pad_idx, s.input_dim - 1);
  return spec_to_json(s);
}

}  // namespace

Family rnn_classifier() {
  Family f = make_family<RnnSpec, RnnClassifier>("rnn_classifier",
                                                 "LSTM, GRU and RNN classifiers on features or tokens");
  f.published = {{"lstm_text_classifier", R"({"vocab":5002})", 3'009'796},
                 {"lstm_model", R"({"output_size":10})", 2'372'618},
                 {"gru_model", R"({"kind":"gru","output_size":10})", 1'780'746},
                 {"rnn_model", R"({"kind":"rnn","output_size":10})", 597'002}};
  f.golden_archs = {"lstm_model", "gru_model", "rnn_model"};
  f.small_specs = {
      R"({"vocab":50,"input_size":8,"hidden_size":6})",
      R"({"kind":"gru","input_size":8,"hidden_size":6,"last":"hidden"})",
      R"({"kind":"rnn","nonlinearity":"relu","input_size":8,"hidden_size":6,"bidirectional":false,
                       "bias":false,"num_layers":1})"};
  f.spec_from_shapes = guess;
  return f;
}

Family agnews_lstm() {
  Family f = make_family<AgNewsSpec, AgNewsLstm>("agnews_lstm", "DepGraph's bidirectional LSTM for AG News");
  f.published = {{"agnews_lstm", "{}", 3'040'836}};
  f.golden_archs = {"depgraph_agnews_lstm"};
  f.small_specs = {R"({"input_dim":50,"embedding_dim":8,"hidden_dim":6})"};
  f.spec_from_shapes = guess_agnews;
  return f;
}

}  // namespace pollard::models
