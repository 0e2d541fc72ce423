// SPDX-License-Identifier: Apache-2.0
// Recurrent layers. ONNX has one layer a node, both directions in it, gates in another order, and the results of the
// directions in a dimension of their own.
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include <array>
#include <string>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

/// Where ONNX's gates are among PyTorch's: LSTM i f g o -> i o f c, GRU r z n -> z r h.
Ints gate_order(std::string_view type) {
  if (type == "LSTM") return {0, 3, 1, 2};
  if (type == "GRU") return {1, 0, 2};
  return {0};
}

at::Tensor in_onnx_order(const at::Tensor& weight, const Ints& gates) {
  const std::vector<at::Tensor> parts =
      weight.detach().cpu().chunk(static_cast<std::int64_t>(gates.size()), 0);
  std::vector<at::Tensor> sorted;
  for (std::int64_t gate : gates) sorted.push_back(parts.at(static_cast<std::size_t>(gate)));
  return at::cat(sorted, 0);
}

/// One call of an ATen recurrent op.
class RecurrentCall {
 public:
  RecurrentCall(Translation& t, std::string_view type, std::string activation)
      : t_(t), type_(type), activation_(std::move(activation)), gates_(gate_order(type)) {
    directions_ = t.op().bool_or("bidirectional", false) ? 2 : 1;
    layers_ = t.op().int_or("num_layers", 1);
    biases_ = t.op().bool_or("has_biases", true);
    params_ = t.op().tensors("params");
    if (t.rank("input") != 3) t.refuse("a recurrent layer on one sequence without a batch");
    if (params_.size() != static_cast<std::size_t>(layers_ * directions_ * per_direction()))
      t.refuse("a recurrent layer with a projection");
  }

  void run() {
    const bool batch_first = t_.op().bool_or("batch_first", false);
    Name x = t_.in("input");
    if (batch_first) x = t_.transpose(x, {1, 0, 2});
    std::array<Names, 2> last;  // of h and c, a layer each
    for (std::int64_t layer = 0; layer < layers_; ++layer) {
      const Names made = t_.node(type_, inputs(x, layer), lstm() ? 3 : 2, attributes(layer));
      // [L, D, B, H] -> [L, B, D H]
      const Name swapped = t_.transpose(made[0], {0, 2, 1, 3});
      x = t_.node("Reshape", {swapped, t_.list({0, 0, -1})});
      for (std::size_t k = 0; k + 1 < made.size(); ++k) last[k].push_back(made[k + 1]);
    }
    t_.result(batch_first ? t_.transpose(x, {1, 0, 2}) : x, 0);
    for (std::size_t k = 0; k < (lstm() ? 2u : 1u); ++k)
      t_.result(layers_ == 1 ? last[k][0] : t_.node("Concat", last[k], {{"axis", std::int64_t{0}}}), k + 1);
  }

 private:
  bool lstm() const { return type_ == "LSTM"; }
  std::int64_t per_direction() const { return biases_ ? 4 : 2; }

  at::Tensor param(std::int64_t layer, std::int64_t direction, std::int64_t which) const {
    const auto at = static_cast<std::size_t>((layer * directions_ + direction) * per_direction() + which);
    const auto weight = t_.weight(params_.at(at));
    if (!weight) t_.refuse("recurrent weights that the network computes");
    return in_onnx_order(*weight, gates_);
  }

  /// One tensor for both directions: [D, gates H, ..].
  Name stacked(std::int64_t layer, std::int64_t which, const char* name) const {
    std::vector<at::Tensor> parts;
    for (std::int64_t d = 0; d < directions_; ++d) parts.push_back(param(layer, d, which));
    return t_.constant(at::stack(parts), name);
  }

  Name bias(std::int64_t layer) const {
    std::vector<at::Tensor> parts;
    for (std::int64_t d = 0; d < directions_; ++d)
      parts.push_back(at::cat({param(layer, d, 2), param(layer, d, 3)}, 0));
    return t_.constant(at::stack(parts), "B");
  }

  Name initial(std::size_t which, std::int64_t layer) const {
    const std::string_view argument = "hx";
    const auto given = lstm() ? t_.op().tensors(argument).at(which) : t_.id(argument);
    if (layers_ == 1) return t_.in(given);
    return t_.slice(t_.in(given), 0, t_.list({layer * directions_}), t_.list({(layer + 1) * directions_}));
  }

  Names inputs(const Name& x, std::int64_t layer) const {
    Names out{x,      stacked(layer, 0, "W"), stacked(layer, 1, "R"), biases_ ? bias(layer) : Name(),
              Name(), initial(0, layer)};
    if (lstm()) out.push_back(initial(1, layer));
    return out;
  }

  Attributes attributes(std::int64_t layer) const {
    const at::Tensor recurrent = param(layer, 0, 1);
    Attributes out{{"hidden_size", recurrent.size(1)},
                   {"direction", std::string(directions_ == 2 ? "bidirectional" : "forward")}};
    if (type_ == "GRU") out.push_back({"linear_before_reset", std::int64_t{1}});
    if (!activation_.empty())
      out.push_back(
          {"activations", std::vector<std::string>(static_cast<std::size_t>(directions_), activation_)});
    return out;
  }

  Translation& t_;
  std::string_view type_;
  std::string activation_;
  Ints gates_;
  std::int64_t directions_ = 1, layers_ = 1;
  bool biases_ = true;
  std::vector<graph::ValueId> params_;
};

void recurrent(Translation& t, const OnnxRule& rule) { RecurrentCall(t, rule.type, "").run(); }
void rnn_tanh(Translation& t, const OnnxRule& rule) { RecurrentCall(t, rule.type, "Tanh").run(); }
void rnn_relu(Translation& t, const OnnxRule& rule) { RecurrentCall(t, rule.type, "Relu").run(); }

constexpr auto kRules = std::to_array<OnnxRule>({
    {"gru", recurrent, "GRU"},
    {"lstm", recurrent, "LSTM"},
    {"rnn_relu", rnn_relu, "RNN"},
    {"rnn_tanh", rnn_tanh, "RNN"},
});

}  // namespace

std::span<const OnnxRule> recurrent_rules() { return kRules; }

}  // namespace pollard::models::onnx
