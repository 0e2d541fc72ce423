// SPDX-License-Identifier: Apache-2.0
#include "pruning/monarch.h"

#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linear.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "models/io/stage.h"
#include "models/layers/monarch.h"
#include "pruning/eligible.h"
#include "pruning/output_change.h"
#include "pruning/stand_in_ops.h"
#include "pruning/verify.h"

namespace pollard::pruning {

using graph::Arg;
using graph::Input;
using graph::Op;
using graph::Program;
using graph::Size;
using graph::Value;
using graph::ValueId;

namespace {

/// A product of activations with a weight that nothing else reads.
struct DenseOp {
  std::size_t op;
  ValueId x;
  std::size_t input;  ///< of the weight, in Program::inputs
  std::optional<ValueId> bias;
  bool transposed;  ///< the weight is stored [in, out]
};

std::map<ValueId, int> count_readers(const Program& program) {
  std::map<ValueId, int> readers;
  for (const Op& op : program.ops)
    for (const graph::NamedArg& named : op.args)
      for (const ValueId id : graph::values_in(named.arg)) ++readers[id];
  for (const graph::Output& output : program.outputs)
    for (const ValueId id : graph::values_in(output.value)) ++readers[id];
  return readers;
}

/// Where the op keeps its operands; nothing for other ops.
std::optional<DenseOp> dense_op(const Program& program, std::size_t index,
                                const std::map<ValueId, std::size_t>& weights) {
  struct Names {
    std::string_view op, x, weight, bias;
  };
  constexpr Names kNames[] = {{"linear", "input", "weight", "bias"},
                              {"matmul", "self", "other", ""},
                              {"mm", "self", "mat2", ""},
                              {"addmm", "mat1", "mat2", "self"}};
  const Op& op = program.ops[index];
  for (const Names& names : kNames) {
    if (op.base_name() != names.op || !op.target.starts_with("aten.")) continue;
    const auto x = op.tensor(names.x), weight = op.tensor(names.weight);
    if (!x || !weight || !weights.contains(*weight) || op.find("beta") || op.find("alpha"))
      return std::nullopt;
    return DenseOp{.op = index,
                   .x = *x,
                   .input = weights.at(*weight),
                   .bias = names.bias.empty() ? std::nullopt : op.tensor(names.bias),
                   .transposed = names.op != "linear"};
  }
  return std::nullopt;
}

std::vector<DenseOp> dense_ops(const Program& program) {
  const std::map<ValueId, int> readers = count_readers(program);
  std::map<std::string, int> ties;
  for (const Input& input : program.inputs)
    if (!input.tied_to.empty()) ++ties[input.tied_to];
  std::map<ValueId, std::size_t> weights;
  for (std::size_t i = 0; i < program.inputs.size(); ++i) {
    const Input& input = program.inputs[i];
    const Value& value = program[input.value];
    const auto read = readers.find(input.value);
    if (input.kind == Input::Kind::Parameter && input.tied_to.empty() && !ties.contains(input.source) &&
        value.shape.size() == 2 && graph::is_floating(value.dtype) && read != readers.end() &&
        read->second == 1)
      weights.emplace(input.value, i);
  }
  std::vector<DenseOp> out;
  for (std::size_t i = 0; i < program.ops.size(); ++i)
    if (const auto found = dense_op(program, i, weights)) out.push_back(*found);
  return out;
}

/// Writes the ops that stand for one dense product.
class MonarchOps {
 public:
  MonarchOps(Program& program, Op dense) : program_(program), ops_(program, std::move(dense), "monarch") {}

  std::vector<Op> write(const DenseOp& d, ValueId first, ValueId second) {
    const auto sizes = [&](ValueId id) { return program_[id].sizes(); };
    const auto f = sizes(first), s = sizes(second);  // [k, q, p], [l, s, r]
    lead_ = program_[d.x].shape;
    lead_.pop_back();
    ValueId x = unflatten(d.x, f[0], f[2]);
    x = einsum("kp,kqp->", "kq", x, first, {f[0], f[1]});
    x = unflatten(flatten(x, f[0] * f[1]), s[2], s[0]);
    x = flatten(einsum("rl,lsr->", "sl", x, second, {s[1], s[0]}), s[1] * s[0]);
    if (d.bias) call("aten.add.Tensor", {{"self", x}, {"other", *d.bias}}, {s[1] * s[0]});
    return ops_.take();
  }

 private:
  ValueId unflatten(ValueId x, std::int64_t major, std::int64_t minor) {
    return call("aten.unflatten.int",
                {{"self", x}, {"dim", std::int64_t{-1}}, {"sizes", Arg::List{major, minor}}}, {major, minor});
  }
  ValueId flatten(ValueId x, std::int64_t size) {
    return call("aten.flatten.using_ints",
                {{"self", x}, {"start_dim", std::int64_t{-2}}, {"end_dim", std::int64_t{-1}}}, {size});
  }
  ValueId einsum(const char* letters, const char* result, ValueId x, ValueId blocks,
                 const std::vector<std::int64_t>& shape) {
    const std::string lead = std::string("abcdefgh").substr(0, lead_.size());
    return call("aten.einsum.default",
                {{"equation", lead + letters + lead + result}, {"tensors", Arg::List{x, blocks}}}, shape);
  }
  ValueId call(const char* target, std::vector<graph::NamedArg> args,
               const std::vector<std::int64_t>& shape) {
    Value value = program_[ops_.original().outputs[0]];
    value.shape = lead_;
    for (const std::int64_t size : shape) value.shape.push_back({.hint = size, .expr = {}});
    return ops_.emit(target, std::move(args), std::move(value));
  }

  Program& program_;
  StandInOps ops_;
  std::vector<Size> lead_;
};

/// The factors as the program's inputs: the first takes the weight's place, the second comes at the end of `added`.
ValueId add_factor(Program& program, const Input& weight, const std::string& ending, const at::Tensor& factor,
                   std::vector<Input>& added) {
  Value value = program[weight.value];
  value.name += "_" + ending;
  value.shape.clear();
  for (const std::int64_t size : factor.sizes()) value.shape.push_back({.hint = size, .expr = {}});
  value.strides.clear();
  value.stride_exprs.clear();
  Input input = weight;
  input.source += "." + ending;
  input.value = program.add(std::move(value));
  added.push_back(input);
  return input.value;
}

struct Choice {
  DenseOp dense;
  MonarchLayer layer;
  MonarchFactors factors;
};

bool asked_for(const std::string& name, const MonarchOptions& o) {
  const auto matches = [&](const std::string& pattern) { return glob_match(pattern, name); };
  if (std::ranges::any_of(o.ignore, matches)) return false;
  return o.only.empty() || std::ranges::any_of(o.only, matches);
}

/// Why the weight stays dense, or "".
std::string obstacle(const MonarchLayer& layer, const MonarchOptions& o) {
  const std::string sizes = std::to_string(layer.out) + " x " + std::to_string(layer.in);
  if (layer.out % o.blocks != 0 || layer.in % o.blocks != 0)
    return std::to_string(o.blocks) + " blocks do not divide " + sizes;
  if (layer.rank < 1) return sizes + " is too small for blocks of rank 1";
  return {};
}

std::vector<Choice> choose(const models::Model& model, const MonarchOptions& o, MonarchReport& report) {
  std::vector<Choice> out;
  const std::vector<DenseOp> layers = dense_ops(model.program);
  std::int64_t done = 0;
  const auto tell = [&] {
    models::io::tell_stage({.name = "monarch", .unit = "layers", .done = done, .total = std::ssize(layers)});
  };
  tell();
  for (const DenseOp& dense : layers) {
    models::io::throw_if_cancelled();
    ++done;
    const std::string& name = model.program.inputs[dense.input].source;
    if (!asked_for(name, o)) continue;
    const at::Tensor& stored = model.weights.at(name);
    const at::Tensor weight = dense.transposed ? stored.t() : stored;
    MonarchLayer layer{.weight = name, .out = weight.size(0), .in = weight.size(1)};
    layer.before = weight.numel();
    const std::int64_t per_rank = o.blocks * (layer.out + layer.in);
    layer.rank = std::min({static_cast<std::int64_t>(o.keep * static_cast<double>(layer.before)) / per_rank,
                           layer.out / o.blocks, layer.in / o.blocks});
    layer.after = layer.rank * per_rank;
    if (const std::string why = obstacle(layer, o); !why.empty()) {
      report.left.push_back(name + ": " + why);
      continue;
    }
    Choice choice{
        .dense = dense, .layer = layer, .factors = project_to_monarch(weight, o.blocks, layer.rank)};
    choice.layer.weight_error = choice.factors.error;
    out.push_back(std::move(choice));
    tell();
  }
  done = std::ssize(layers);
  tell();
  return out;
}

/// Runs the original and compares, layer by layer, what the two matrices make of its activations.
std::vector<at::Tensor> run_original(const models::Model& model, const std::vector<at::Tensor>& inputs,
                                     std::vector<Choice>& choices) {
  std::map<std::size_t, Choice*> by_op;
  for (Choice& choice : choices) by_op.emplace(choice.dense.op, &choice);
  kernels::RunOptions options;
  options.compute_type = at::kDouble;
  options.before_op = [&](const Op& op, std::size_t index, std::vector<c10::IValue>& stack) {
    const auto found = by_op.find(index);
    if (found == by_op.end()) return false;
    Choice& choice = *found->second;
    const at::Tensor operand = stack[op.base_name() == "addmm" ? 1 : 0].toTensor();
    const at::Tensor x = operand.reshape({-1, operand.size(-1)});
    const at::Tensor& stored = model.weights.at(choice.layer.weight);
    const at::Tensor dense = at::linear(x, (choice.dense.transposed ? stored.t() : stored).to(at::kDouble));
    const at::Tensor monarch = models::monarch_multiply(x, choice.factors.first.to(at::kDouble),
                                                        choice.factors.second.to(at::kDouble));
    const double error = at::linalg_vector_norm(monarch.sub(dense)).item<double>(),
                 size = at::linalg_vector_norm(dense).item<double>();
    if (size > 0) choice.layer.output_error = std::max(choice.layer.output_error, error / size);
    return false;
  };
  return kernels::Executor(model.program).run(model.weights, inputs, options);
}

void replace(models::Model& model, std::vector<Choice>& choices) {
  Program& program = model.program;
  std::map<std::size_t, std::vector<Op>> written;
  std::map<std::size_t, std::vector<Input>> added;
  for (Choice& choice : choices) {
    const Input weight = program.inputs[choice.dense.input];
    std::vector<Input>& inputs = added[choice.dense.input];
    const ValueId first = add_factor(program, weight, "monarch_first", choice.factors.first, inputs);
    const ValueId second = add_factor(program, weight, "monarch_second", choice.factors.second, inputs);
    MonarchOps ops(program, program.ops[choice.dense.op]);
    written[choice.dense.op] = ops.write(choice.dense, first, second);
    model.weights.erase(weight.source);
    model.weights[inputs[0].source] = choice.factors.first;
    model.weights[inputs[1].source] = choice.factors.second;
  }
  splice(program, std::move(written));
  std::vector<Input> inputs;
  for (std::size_t i = 0; i < program.inputs.size(); ++i) {
    if (!added.contains(i)) inputs.push_back(std::move(program.inputs[i]));
    for (Input& input : added[i]) inputs.push_back(std::move(input));
  }
  program.inputs = std::move(inputs);
}

}  // namespace

MonarchFactors project_to_monarch(const at::Tensor& weight, std::int64_t blocks, std::int64_t rank) {
  const std::int64_t s = weight.size(0) / blocks, p = weight.size(1) / blocks;
  const at::Tensor dense = weight.to(at::kDouble);
  // [row in block, block of rows, block of columns, column in block] -> a matrix for each pair of blocks.
  const auto [u, sigma, v] =
      at::linalg_svd(dense.reshape({s, blocks, blocks, p}).permute({1, 2, 0, 3}), false);
  const at::Tensor root = sigma.narrow(-1, 0, rank).sqrt();
  const at::Tensor left = u.narrow(-1, 0, rank).mul(root.unsqueeze(-2));   // [l, k, s, rank]
  const at::Tensor right = v.narrow(-2, 0, rank).mul(root.unsqueeze(-1));  // [l, k, rank, p]
  const double lost = at::linalg_vector_norm(sigma.narrow(-1, rank, sigma.size(-1) - rank)).item<double>();
  const double size = at::linalg_vector_norm(dense).item<double>();
  return {.first = right.permute({1, 2, 0, 3}).reshape({blocks, rank * blocks, p}).to(weight.scalar_type()),
          .second = left.permute({0, 2, 1, 3}).reshape({blocks, s, blocks * rank}).to(weight.scalar_type()),
          .error = size > 0 ? lost / size : 0};
}

MonarchReport to_monarch(models::Model& model, const MonarchOptions& options) {
  MonarchReport report;
  std::vector<Choice> choices = choose(model, options, report);
  if (choices.empty()) return report;
  const auto inputs = example_inputs(model, options.inputs, options.seed);
  std::vector<std::vector<at::Tensor>> before;
  for (const auto& set : inputs) before.push_back(run_original(model, set, choices));
  replace(model, choices);
  graph::check(model.program);
  const kernels::Executor executor(model.program);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    report.output_change = std::max(
        report.output_change,
        relative_change(before[i], executor.run(model.weights, inputs[i], {.compute_type = at::kDouble})));
  for (const Choice& choice : choices) report.layers.push_back(choice.layer);
  return report;
}

}  // namespace pollard::pruning
