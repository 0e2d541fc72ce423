// SPDX-License-Identifier: Apache-2.0
#include "pruning/attention_layers.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "pruning/verify.h"

namespace pollard::pruning {
namespace {

using graph::Op;
using graph::Program;
using graph::ValueId;

constexpr std::string_view kDense[] = {"linear", "matmul", "mm", "bmm", "addmm", "baddbmm"};
constexpr std::string_view kLayout[] = {
    "view", "reshape",  "_unsafe_view", "transpose", "permute",   "contiguous", "clone", "dropout", "expand",
    "to",   "_to_copy", "flatten",      "t",         "unsqueeze", "squeeze",    "alias", "detach"};

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::ranges::find(names, name) != names.end();
}

/// Why a place that looks like an attention is not one that reads a whole sequence.
struct Left {
  std::string why;
};

class Finder {
 public:
  explicit Finder(const Program& program) : program_(program) {
    for (const graph::Input* input : program.user_inputs())
      if (!input->constant) of_data_.insert(input->value);
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
      const std::vector<ValueId> read = arguments(program.ops[i]);
      const bool follows = std::ranges::any_of(read, [&](ValueId id) { return of_data_.contains(id); });
      for (const ValueId id : program.ops[i].outputs) {
        maker_.emplace(id, i);
        if (follows) of_data_.insert(id);
      }
    }
  }

  AttentionLayers run() {
    AttentionLayers out;
    std::map<std::string, int> times;
    for (std::size_t i = 0; i < program_.ops.size(); ++i) {
      if (!weighs_values(program_.ops[i])) continue;
      AttentionLayer layer{.name = {}, .op = i, .x = {}, .present = {}};
      weights_.clear();
      try {
        describe(layer);
      } catch (const Left& left) {
        out.left.push_back((weights_.empty() ? program_.ops[i].name : common_name()) + ": " + left.why);
        continue;
      }
      layer.name = common_name();
      if (const int n = times[layer.name]++; n > 0) layer.name += "." + std::to_string(n);
      out.layers.push_back(std::move(layer));
    }
    return out;
  }

 private:
  static std::vector<ValueId> arguments(const Op& op) {
    std::vector<ValueId> out;
    for (const graph::NamedArg& named : op.args)
      for (const ValueId id : graph::values_in(named.arg)) out.push_back(id);
    return out;
  }

  const Op* made_by(ValueId id) const {
    const auto found = maker_.find(id);
    return found == maker_.end() ? nullptr : &program_.ops[found->second];
  }

  /// Scaled dot-product attention, or the product of a softmax with what it weighs.
  bool weighs_values(const Op& op) const {
    const std::string_view name = op.base_name();
    if (name == "scaled_dot_product_attention") return true;
    if (name != "matmul" && name != "bmm") return false;
    const auto values = op.tensor(name == "bmm" ? "mat2" : "other");
    const Op* from = op.tensor("self") ? made_by(*op.tensor("self")) : nullptr;
    while (from && is_one_of(from->base_name(), kLayout) && from->tensor(first_name(*from)))
      from = made_by(*from->tensor(first_name(*from)));
    return from && values && of_data_.contains(*values) &&
           (from->base_name() == "softmax" || from->base_name() == "_softmax");
  }

  static std::string_view first_name(const Op& op) {
    return op.args.empty() ? std::string_view() : op.args.front().name;
  }

  void describe(AttentionLayer& layer) {
    const Op& op = program_.ops[layer.op];
    const auto shape = program_[op.outputs.at(0)].shape;
    if (shape.size() != 4 && shape.size() != 3) throw Left{"its result is not [B, H, S, h]"};
    find_x(layer);
    const auto& x = program_[layer.x].shape;
    const graph::Size& length = shape[shape.size() - 2];
    if (x.size() != 3) throw Left{"it reads a value that is not [B, S, d]"};
    const auto is = [&](const graph::Size& batch, const graph::Size& rows) {
      const bool fits = shape.size() == 4 ? batch.hint == shape[0].hint : shape[0].hint % batch.hint == 0;
      return fits && rows.hint == length.hint && rows.symbolic() == length.symbolic();
    };
    if (!is(x[0], x[1]) && !is(x[1], x[0])) throw Left{"its queries are not those of the sequence it reads"};
    layer.sequence_first = !is(x[0], x[1]);
    layer.heads = shape.size() == 4 ? shape[1].hint : shape[0].hint / x[layer.sequence_first ? 1 : 0].hint;
    layer.head_dim = shape.back().hint;
  }

  /// Walks back to the dense products that make queries, keys and values.
  void find_x(AttentionLayer& layer) {
    std::set<ValueId> seen, sources;
    std::vector<ValueId> open = arguments(program_.ops[layer.op]);
    while (!open.empty()) {
      const ValueId id = open.back();
      open.pop_back();
      if (!of_data_.contains(id) || !seen.insert(id).second) continue;
      const Op* op = made_by(id);
      if (!op) {
        note_input(id, layer);
      } else if (const auto x = projected(*op)) {
        sources.insert(before_views(*x));
      } else {
        if (op->base_name() == "scaled_dot_product_attention")
          throw Left{"it reads another attention directly"};
        for (const ValueId argument : arguments(*op)) open.push_back(argument);
      }
    }
    if (sources.empty()) throw Left{"no dense product makes its queries"};
    if (sources.size() > 1) throw Left{"queries, keys and values are made from different values"};
    layer.x = *sources.begin();
  }

  /// What a dense product with a weight projects; notes the weight's name.
  std::optional<ValueId> projected(const Op& op) {
    if (!is_one_of(op.base_name(), kDense)) return std::nullopt;
    std::optional<ValueId> x;
    std::vector<ValueId> fixed;
    for (const ValueId id : arguments(op)) {
      if (!of_data_.contains(id))
        fixed.push_back(id);
      else if (x)
        return std::nullopt;  // a product of two activations
      else
        x = id;
    }
    for (const ValueId id : fixed) note_weight(id);
    return x;
  }

  void note_weight(ValueId id) {
    if (const Op* op = made_by(id)) {
      for (const ValueId argument : arguments(*op)) note_weight(argument);
      return;
    }
    const auto input = std::ranges::find(program_.inputs, id, &graph::Input::value);
    if (input != program_.inputs.end() && input->kind == graph::Input::Kind::Parameter)
      weights_.push_back(input->source);
  }

  /// The value itself, not a view of its rows: [B S, d] of [B, S, d].
  ValueId before_views(ValueId id) const {
    while (program_[id].shape.size() != 3) {
      const Op* op = made_by(id);
      if (!op || !is_one_of(op->base_name(), kLayout) || !op->tensor(first_name(*op))) break;
      id = *op->tensor(first_name(*op));
    }
    return id;
  }

  void note_input(ValueId id, AttentionLayer& layer) const {
    const graph::Value& value = program_[id];
    if (value.name.find("mask") != std::string::npos && value.shape.size() == 2) layer.present = id;
  }

  /// The dotted path that the projections' weights share.
  std::string common_name() const {
    std::string name = weights_.empty() ? std::string() : weights_.front();
    for (const std::string& other : weights_) {
      const auto [a, b] = std::ranges::mismatch(name, other);
      if (a != name.end() || b != other.end()) name.resize(static_cast<std::size_t>(a - name.begin()));
    }
    const std::size_t dot = name.rfind('.');
    return dot == std::string::npos ? std::string("attention") : name.substr(0, dot);
  }

  const Program& program_;
  std::map<ValueId, std::size_t> maker_;  ///< op that makes a value
  std::set<ValueId> of_data_;             ///< values that depend on the user's inputs
  std::vector<std::string> weights_;      ///< of the layer being looked at
};

/// Results of all layers' ops in one run, with one layer's x changed.
class Probe {
 public:
  Probe(const models::Model& model, const AttentionLayers& found, std::uint64_t seed)
      : model_(model),
        executor_(model.program),
        inputs_(example_inputs(model, 1, seed).front()),
        seed_(seed) {
    run(found.layers, nullptr, before_);
  }

  /// Why the layer is none over a whole sequence, or "".
  std::string obstacle(const AttentionLayer& layer) const {
    std::map<std::size_t, at::Tensor> after;
    run({layer}, &layer, after);
    const std::int64_t batch = model_.program[layer.x].shape[layer.sequence_first ? 1 : 0].hint;
    const auto rows = [&](const at::Tensor& t) { return t.reshape({batch, -1, t.size(-2), t.size(-1)}); };
    const at::Tensor a = rows(before_.at(layer.op)), b = rows(after.at(layer.op));
    const std::int64_t half = a.size(2) / 2;
    if (half == 0) return "its sequence has one position";
    if (batch > 1 && !at::equal(a.slice(0, 1), b.slice(0, 1))) return "it mixes the examples of a batch";
    if (at::equal(a[0].slice(1, 0, half), b[0].slice(1, 0, half)))
      return "earlier positions do not see later ones";
    return {};
  }

 private:
  void run(const std::vector<AttentionLayer>& layers, const AttentionLayer* changed,
           std::map<std::size_t, at::Tensor>& results) const {
    std::map<ValueId, std::size_t> made;
    for (const AttentionLayer& layer : layers)
      made.emplace(model_.program.ops[layer.op].outputs[0], layer.op);
    kernels::RunOptions options;
    options.compute_type = at::kDouble;
    options.after_value = [&](ValueId id, at::Tensor& tensor) {
      if (const auto found = made.find(id); found != made.end()) results[found->second] = tensor;
      if (changed && id == changed->x) tensor = with_other_end(tensor, changed->sequence_first);
    };
    std::vector<at::Tensor> inputs = inputs_;
    if (const auto place = changed ? tensor_input(model_.program, changed->x) : std::nullopt)
      inputs[*place] = with_other_end(inputs[*place], changed->sequence_first);
    executor_.run(model_.weights, inputs, options);
  }

  /// The second half of the first example's positions changed.
  at::Tensor with_other_end(const at::Tensor& x, bool sequence_first) const {
    at::Tensor out = x.clone();
    const std::int64_t length = out.size(sequence_first ? 0 : 1);
    const at::Tensor end = out.select(sequence_first ? 1 : 0, 0).slice(0, length / 2, length);
    end.add_(at::randn(end.sizes(), at::detail::createCPUGenerator(seed_), end.options()));
    return out;
  }

  const models::Model& model_;
  kernels::Executor executor_;
  std::vector<at::Tensor> inputs_;
  std::uint64_t seed_;
  std::map<std::size_t, at::Tensor> before_;
};

}  // namespace

std::optional<std::size_t> tensor_input(const Program& program, ValueId value) {
  std::size_t place = 0;
  for (const graph::Input* input : program.user_inputs()) {
    if (input->constant || program[input->value].kind != graph::Value::Kind::Tensor) continue;
    if (input->value == value) return place;
    ++place;
  }
  return std::nullopt;
}

AttentionLayers find_attention_layers(const models::Model& model, std::uint64_t seed) {
  AttentionLayers found = Finder(model.program).run();
  if (found.layers.empty()) return found;
  const Probe probe(model, found, seed);
  std::vector<AttentionLayer> whole;
  for (AttentionLayer& layer : found.layers) {
    const std::string why = probe.obstacle(layer);
    if (why.empty())
      whole.push_back(std::move(layer));
    else
      found.left.push_back(layer.name + ": " + why);
  }
  found.layers = std::move(whole);
  return found;
}

}  // namespace pollard::pruning
