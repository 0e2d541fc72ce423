// SPDX-License-Identifier: Apache-2.0
#include "pruning/repair_layers.h"

#include <algorithm>
#include <set>

namespace pollard::pruning {
namespace {

using graph::Op;
using graph::Program;
using graph::ValueId;

class LayerFinder {
 public:
  explicit LayerFinder(const Program& program) : program_(program) {
    for (const graph::Input& input : program.inputs) {
      if (!input.constant && input.kind == graph::Input::Kind::Parameter) source_[input.value] = input.source;
      if (!input.tied_to.empty()) shared_.insert({input.source, input.tied_to});
    }
    for (const Op& op : program.ops)
      for (const graph::NamedArg& named : op.args)
        for (ValueId id : graph::values_in(named.arg))
          if (source_.contains(id)) ++reads_[source_[id]];
  }

  Inventory find() {
    for (std::size_t i = 0; i < program_.ops.size(); ++i) visit(i);
    return std::move(out_);
  }

 private:
  void visit(std::size_t index) {
    const Op& op = program_.ops[index];
    const std::string_view name = op.base_name();
    if (name == "linear") return add(index, Layer::Kind::Linear, "input", "weight", "bias");
    if (name == "addmm") return add(index, Layer::Kind::Transposed, "mat1", "mat2", "self");
    if (name == "conv2d" || name == "conv1d")
      return add(index, Layer::Kind::Convolution, "input", "weight", "bias");
    if (name == "batch_norm" || name == "layer_norm" || name == "group_norm" || name == "rms_norm")
      return add_norm(index);
    if (name == "lstm" || name == "gru" || name == "rnn_tanh" || name == "rnn_relu")
      return add_recurrent(index);
    if (name.starts_with("conv")) leave(op, "a " + std::string(name) + " is not refitted");
  }

  std::string source(const Op& op, const char* argument) const {
    const auto id = op.tensor(argument);
    const auto found = id ? source_.find(*id) : source_.end();
    return found == source_.end() ? std::string() : found->second;
  }

  void add(std::size_t index, Layer::Kind kind, const char* input, const char* weight, const char* bias) {
    const Op& op = program_.ops[index];
    const std::string w = source(op, weight), b = source(op, bias);
    const bool computed_bias = op.tensor(bias) && b.empty();
    if (w.empty() || computed_bias) return leave(op, "its weight is computed");
    if (is_shared(w) || (!b.empty() && is_shared(b))) return leave(op, "its weight is shared");
    if (kind == Layer::Kind::Convolution && op.find("padding") && op.find("padding")->as<std::string>())
      return leave(op, "its padding is not a number");
    Layer layer{.kind = kind,
                .dense_op = index,
                .name = op.name,
                .parameters = {w},
                .input = input,
                .weight = weight,
                .bias = bias};
    if (!b.empty()) layer.parameters.push_back(b);
    out_.layers[op.name] = std::move(layer);
  }

  /// Norms without parameters of their own have nothing to refit.
  void add_norm(std::size_t index) {
    const Op& op = program_.ops[index];
    if (op.tensor("weight") && !(op.base_name() == "batch_norm" && op.bool_or("training", false)))
      add(index, Layer::Kind::Affine, "input", "weight", "bias");
  }

  void add_recurrent(std::size_t index) {
    const Op& op = program_.ops[index];
    if (!op.find("num_layers") || op.find("batch_sizes"))
      return leave(op, "packed sequences are not refitted");
    Layer layer{.kind = Layer::Kind::Recurrent,
                .dense_op = index,
                .name = op.name,
                .parameters = {},
                .input = "input",
                .weight = {},
                .bias = {}};
    for (ValueId id : op.tensors("params")) {
      const auto found = source_.find(id);
      if (found == source_.end()) return leave(op, "its weight is computed");
      if (is_shared(found->second)) return leave(op, "its weight is shared");
      layer.parameters.push_back(found->second);
    }
    out_.layers[op.name] = std::move(layer);
  }

  void leave(const Op& op, const std::string& why) { out_.left.push_back(op.name + ": " + why); }

  bool is_shared(const std::string& source) const {
    const auto reads = reads_.find(source);
    return (reads != reads_.end() && reads->second > 1) ||
           std::ranges::any_of(
               shared_, [&](const auto& pair) { return pair.first == source || pair.second == source; });
  }

  const Program& program_;
  std::map<ValueId, std::string> source_;
  std::map<std::string, int> reads_;
  std::set<std::pair<std::string, std::string>> shared_;
  Inventory out_;
};

}  // namespace

Inventory find_layers(const Program& program) { return LayerFinder(program).find(); }

}  // namespace pollard::pruning
