// SPDX-License-Identifier: Apache-2.0
#include "pruning/repair.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "graph/error.h"
#include "pruning/least_squares.h"
#include "pruning/lock_step.h"

namespace pollard::pruning {
namespace {

using graph::Op;
using graph::Program;
using graph::ValueId;

/// An op whose weight is a parameter of its own, as a linear map of its input.
struct Layer {
  enum class Kind { Linear, Transposed, Convolution } kind;
  std::size_t dense_op;
  std::string name, weight, bias;  ///< op name and state-dict names; bias "" for none
  const char* input;               ///< argument names in the schema
  const char* weight_argument;
  const char* bias_argument;
};

struct Inventory {
  std::map<std::string, Layer> layers;  ///< by op name: the rewritten program keeps names
  std::vector<std::string> left;
};

class LayerFinder {
 public:
  explicit LayerFinder(const Program& program) : program_(program) {
    for (const graph::Input& input : program.inputs)
      if (!input.constant && input.kind == graph::Input::Kind::Parameter) source_[input.value] = input.source;
    for (const graph::Input& input : program.inputs)
      if (!input.tied_to.empty()) shared_.insert({input.source, input.tied_to});
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
    if (name == "lstm" || name == "gru" || name.starts_with("rnn_") || name.starts_with("conv"))
      out_.left.push_back(op.name + ": " + std::string(name) + " is not refitted");
  }

  void add(std::size_t index, Layer::Kind kind, const char* input, const char* weight, const char* bias) {
    const Op& op = program_.ops[index];
    const auto source = [&](const char* argument) {
      const auto id = op.tensor(argument);
      return id && source_.contains(*id) ? source_[*id] : std::string();
    };
    const std::string w = source(weight), b = source(bias);
    const bool computed_bias = op.tensor(bias) && b.empty();
    if (w.empty() || computed_bias) return leave(op, "its weight is computed");
    if (reads_[w] > 1 || (!b.empty() && reads_[b] > 1) || is_shared(w))
      return leave(op, "its weight is shared");
    if (kind == Layer::Kind::Convolution && op.find("padding") && op.find("padding")->as<std::string>())
      return leave(op, "its padding is not a number");
    out_.layers[op.name] = {.kind = kind,
                            .dense_op = index,
                            .name = op.name,
                            .weight = w,
                            .bias = b,
                            .input = input,
                            .weight_argument = weight,
                            .bias_argument = bias};
  }

  void leave(const Op& op, const char* why) { out_.left.push_back(op.name + ": " + why); }
  bool is_shared(const std::string& source) const {
    return std::ranges::any_of(
        shared_, [&](const auto& pair) { return pair.first == source || pair.second == source; });
  }

  const Program& program_;
  std::map<ValueId, std::string> source_;
  std::map<std::string, int> reads_;
  std::set<std::pair<std::string, std::string>> shared_;
  Inventory out_;
};

/// Every `step`-th row, so that at most `most` remain.
at::Tensor thinned(const at::Tensor& rows, std::int64_t most) {
  const std::int64_t step = (rows.size(0) + most - 1) / std::max<std::int64_t>(1, most);
  return step <= 1 ? rows : rows.slice(0, 0, rows.size(0), step);
}

class Repairer {
 public:
  Repairer(models::Model& pruned, const models::Model& dense, const graph::Dependencies& d,
           const graph::Removal& removal, const CalibrationSet& calibration, const RepairOptions& options)
      : pruned_(pruned),
        dense_(dense),
        d_(d),
        removal_(removal),
        options_(options),
        inventory_(LayerFinder(dense.program).find()),
        dense_program_(with_batch(dense.program, d, calibration.samples())),
        pruned_program_(with_batch(pruned.program, graph::analyse(pruned.program), calibration.samples())),
        beside_(dense_program_, dense.weights, calibration.inputs, wanted()) {
    report_.left = inventory_.left;
    report_.samples = calibration.samples();
    kernels::RunOptions run;
    run.before_op = [&](const Op& op, std::size_t, std::vector<c10::IValue>& stack) {
      if (const auto found = inventory_.layers.find(op.name); found != inventory_.layers.end())
        refit(found->second, op, stack);
      return false;
    };
    kernels::Executor(pruned_program_).run(pruned.weights, calibration.inputs, run);
  }

  RepairReport report() { return std::move(report_); }

 private:
  ValueId output(const Layer& layer) const { return dense_.program.ops[layer.dense_op].outputs[0]; }

  std::set<ValueId> wanted() const {
    std::set<ValueId> out;
    for (const auto& [_, layer] : inventory_.layers) out.insert(output(layer));
    return out;
  }

  // Positions of `input`, `weight` and `bias` in the schema are those of aten::linear, addmm and conv.
  struct Slots {
    std::size_t input, weight, bias;
  };
  static Slots slots(Layer::Kind kind) {
    return kind == Layer::Kind::Transposed ? Slots{1, 2, 0} : Slots{0, 1, 2};
  }

  void refit(const Layer& layer, const Op& op, std::vector<c10::IValue>& stack) {
    const Slots at = slots(layer.kind);
    const at::Tensor target = kept_outputs(layer, beside_.take(output(layer)));
    const at::Tensor x = stack[at.input].toTensor(), weight = stack[at.weight].toTensor();
    const at::Tensor bias = layer.bias.empty() ? at::Tensor() : stack[at.bias].toTensor();
    OpRepair entry{.op = layer.name, .parameter = layer.weight};
    const auto [new_weight, new_bias] = layer.kind == Layer::Kind::Convolution
                                            ? refit_convolution(op, x, weight, bias, target, entry)
                                            : refit_linear(layer.kind, x, weight, bias, target, entry);
    report_.ops.push_back(entry);
    if (entry.before < 1e-6) return;  // nothing upstream was touched
    store(layer.weight, new_weight, stack[at.weight]);
    if (!layer.bias.empty()) store(layer.bias, new_bias, stack[at.bias]);
  }

  void store(const std::string& source, const at::Tensor& value, c10::IValue& slot) {
    at::Tensor& weight = pruned_.weights.at(source);
    weight = value.to(weight.scalar_type()).view(weight.sizes()).contiguous();
    slot = weight;
  }

  at::Tensor kept_outputs(const Layer& layer, const at::Tensor& dense) const {
    const std::vector<graph::TermId>& dims = d_[output(layer)].dims;
    at::Tensor out = dense;
    for (std::size_t dim = 0; dim < dims.size(); ++dim)
      if (graph::touched(d_, dims[dim], removal_))
        out = out.index_select(
            static_cast<std::int64_t>(dim),
            at::tensor(graph::kept_indices(d_, dims[dim], removal_), at::TensorOptions().dtype(at::kLong)));
    return out;
  }

  std::pair<at::Tensor, at::Tensor> refit_linear(Layer::Kind kind, const at::Tensor& x,
                                                 const at::Tensor& weight, const at::Tensor& bias,
                                                 const at::Tensor& target, OpRepair& entry) const {
    const bool transposed = kind == Layer::Kind::Transposed;
    const at::Tensor w = transposed ? weight.t() : weight;
    NormalEquations equations(w.size(1), w.size(0), bias.defined());
    equations.add(thinned(x.reshape({-1, w.size(1)}), options_.max_rows),
                  thinned(target.reshape({-1, w.size(0)}), options_.max_rows));
    const auto solution = equations.solve(w, bias, options_.ridge);
    entry.before = solution.before;
    entry.after = solution.after;
    return {transposed ? solution.weight.t().contiguous() : solution.weight, solution.bias};
  }

  static std::vector<std::int64_t> pair_of(const Op& op, std::string_view name, std::int64_t fallback,
                                           bool flat) {
    const graph::Arg* arg = op.find(name);
    const auto* list = arg ? arg->as<graph::Arg::List>() : nullptr;
    std::vector<std::int64_t> out;
    if (list)
      for (const graph::Arg& item : *list) out.push_back(*item.as<std::int64_t>());
    if (out.empty()) out.push_back(fallback);
    if (flat) return {name == "padding" ? 0 : 1, out[0]};  // a 1-d convolution over [1, L]
    if (out.size() == 1) out.push_back(out[0]);
    return out;
  }

  // Unfolded inputs, group by group; images in blocks that keep the unfolded rows in memory.
  std::pair<at::Tensor, at::Tensor> refit_convolution(const Op& op, at::Tensor x, const at::Tensor& weight,
                                                      const at::Tensor& bias, const at::Tensor& target,
                                                      OpRepair& entry) const {
    const bool flat = weight.dim() == 3;
    if (flat) x = x.unsqueeze(2);
    const std::vector<std::int64_t> kernel = flat ? std::vector<std::int64_t>{1, weight.size(2)}
                                                  : std::vector<std::int64_t>{weight.size(2), weight.size(3)};
    const auto stride = pair_of(op, "stride", 1, flat), padding = pair_of(op, "padding", 0, flat),
               dilation = pair_of(op, "dilation", 1, flat);
    const std::int64_t groups = op.int_or("groups", 1), out = weight.size(0) / groups,
                       in = weight.size(1) * kernel[0] * kernel[1];
    const std::int64_t positions = target.numel() / (target.size(0) * target.size(1));
    const std::int64_t per_block =
        std::max<std::int64_t>(1, (std::int64_t{1} << 24) / (positions * in * groups));
    const std::int64_t blocks = (x.size(0) + per_block - 1) / per_block,
                       most = std::max<std::int64_t>(64, options_.max_rows / blocks);
    std::vector<NormalEquations> equations(static_cast<std::size_t>(groups),
                                           NormalEquations(in, out, bias.defined()));
    for (auto& e : equations) e = NormalEquations(in, out, bias.defined());
    for (std::int64_t first = 0; first < x.size(0); first += per_block) {
      const std::int64_t last = std::min(x.size(0), first + per_block);
      const at::Tensor columns =
          at::im2col(x.slice(0, first, last), kernel, dilation, padding, stride);  // [n, C k, L]
      const at::Tensor wanted = target.slice(0, first, last).reshape({last - first, target.size(1), -1});
      for (std::int64_t g = 0; g < groups; ++g) {
        const at::Tensor rows = columns.slice(1, g * in, (g + 1) * in).transpose(1, 2).reshape({-1, in});
        const at::Tensor y = wanted.slice(1, g * out, (g + 1) * out).transpose(1, 2).reshape({-1, out});
        equations[static_cast<std::size_t>(g)].add(thinned(rows, most), thinned(y, most));
      }
    }
    std::vector<at::Tensor> weights, biases;
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto solution = equations[static_cast<std::size_t>(g)].solve(
          weight.slice(0, g * out, (g + 1) * out).reshape({out, in}),
          bias.defined() ? bias.slice(0, g * out, (g + 1) * out) : bias, options_.ridge);
      weights.push_back(solution.weight);
      if (bias.defined()) biases.push_back(solution.bias);
      entry.before = std::max(entry.before, solution.before);
      entry.after = std::max(entry.after, solution.after);
    }
    return {at::cat(weights, 0), bias.defined() ? at::cat(biases, 0) : at::Tensor()};
  }

  models::Model& pruned_;
  const models::Model& dense_;
  const graph::Dependencies& d_;
  const graph::Removal& removal_;
  RepairOptions options_;
  Inventory inventory_;
  Program dense_program_, pruned_program_;
  LockStep beside_;
  RepairReport report_;
};

}  // namespace

RepairReport repair(models::Model& pruned, const models::Model& dense, const graph::Dependencies& d,
                    const graph::Removal& removal, const CalibrationSet& calibration,
                    const RepairOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  RepairReport report = Repairer(pruned, dense, d, removal, calibration, options).report();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace pollard::pruning
