// SPDX-License-Identifier: Apache-2.0
// Weight-only quantisation of linear layers (declared in pruning/precision.h).
#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "graph/error.h"
#include "graph/program_edit.h"
#include "kernels/executor.h"
#include "pruning/output_change.h"
#include "pruning/precision.h"
#include "pruning/verify.h"

namespace pollard::pruning {
namespace {

using graph::ValueId;

/// A product with a weight of its own.
struct Product {
  std::size_t op;
  ValueId weight;
  std::size_t input;     ///< position of the activations in the op's schema
  std::int64_t reduced;  ///< the weight's dimension that is summed over
};

std::optional<Product> product_at(const graph::Program& program, std::size_t index) {
  const graph::Op& op = program.ops[index];
  if (!op.target.starts_with("aten.")) return std::nullopt;
  if (op.base_name() == "linear") return Product{index, *op.tensor("weight"), 0, 1};
  if (op.base_name() == "addmm") return Product{index, *op.tensor("mat2"), 1, 0};
  if (op.base_name() == "mm") return Product{index, *op.tensor("mat2"), 0, 0};
  return std::nullopt;
}

const graph::Input* parameter(const graph::Program& program, ValueId id) {
  for (const graph::Input& input : program.inputs)
    if (input.value == id && input.kind == graph::Input::Kind::Parameter) return &input;
  return nullptr;
}

/// The first product of each weight that is a matrix of floats.
std::vector<Product> products(const graph::Program& program) {
  std::vector<Product> out;
  for (std::size_t i = 0; i < program.ops.size(); ++i) {
    const auto product = product_at(program, i);
    if (!product || !parameter(program, product->weight)) continue;
    const graph::Value& weight = program[product->weight];
    const bool known = std::ranges::find(out, product->weight, &Product::weight) != out.end();
    if (!known && weight.shape.size() == 2 && graph::is_floating(weight.dtype)) out.push_back(*product);
  }
  return out;
}

struct Bytes {
  at::Tensor values, scale, restored;
};

Bytes quantise(const at::Tensor& weight, std::int64_t reduced) {
  const at::Tensor w = weight.detach().to(at::kFloat);
  const at::Tensor scale = w.abs().amax({reduced}, true).clamp_min(1e-30).div(127);
  const at::Tensor values = w.div(scale).round().clamp(-127, 127);
  const auto type = weight.scalar_type();
  return {values.to(at::kChar), scale.to(type), values.to(type).mul(scale.to(type))};
}

double relative(const at::Tensor& difference, const at::Tensor& whole) {
  return difference.to(at::kDouble).norm().item<double>() /
         std::max(whole.to(at::kDouble).norm().item<double>(), 1e-300);
}

/// Sees the original's activations in front of each product.
void measure_layers(const models::Model& model, const std::vector<Product>& found,
                    const std::vector<Bytes>& bytes, std::vector<Converted::Layer>& layers,
                    std::uint64_t seed) {
  kernels::RunOptions options;
  options.before_op = [&](const graph::Op&, std::size_t index, std::vector<c10::IValue>& stack) {
    const auto product = std::ranges::find(found, index, &Product::op);
    if (product == found.end()) return false;
    const auto at = static_cast<std::size_t>(product - found.begin());
    const at::Tensor x = stack[product->input].toTensor(), w = model.weights.at(layers[at].weight);
    const auto apply = [&](const at::Tensor& matrix) {
      return at::matmul(x, product->reduced == 1 ? matrix.t() : matrix);
    };
    layers[at].output_error =
        std::max(layers[at].output_error, relative(apply(bytes[at].restored.sub(w)), apply(w)));
    return false;
  };
  const kernels::Executor executor(model.program);
  for (const std::vector<at::Tensor>& inputs : example_inputs(model, 1, seed))
    executor.run(model.weights, inputs, options);
}

/// Puts bytes and scales in the weight's place and tells every reader to read their product.
void store(models::Model& model, const Product& product, const Bytes& bytes) {
  graph::Program& program = model.program;
  const graph::Input owner = *parameter(program, product.weight);
  const graph::Value before = program[product.weight];
  const auto value = [&](const std::string& suffix, graph::DType dtype, const at::Tensor& like) {
    graph::Value made{.name = before.name + suffix, .dtype = dtype, .device = before.device};
    for (std::int64_t size : like.sizes()) made.shape.push_back({size, ""});
    return program.add(std::move(made));
  };
  const ValueId stored = value("_int8", graph::DType::Int8, bytes.values),
                scale = value("_scale", before.dtype, bytes.scale),
                wide = value("_wide", before.dtype, bytes.values),
                restored = value("_restored", before.dtype, bytes.values);
  const std::string scale_name = owner.source + "_scale";
  // Other names of the same tensor go: they hold what the first one holds.
  for (const graph::Input& input : program.inputs)
    if (input.tied_to == owner.source)
      graph::replace_uses(program, input.value, restored), model.weights.erase(input.source);
  graph::replace_uses(program, product.weight, restored);
  std::erase_if(program.inputs, [&](const graph::Input& input) {
    return input.tied_to == owner.source || input.value == product.weight;
  });
  program.inputs.insert(program.inputs.begin(),
                        {{.value = stored, .kind = graph::Input::Kind::Buffer, .source = owner.source},
                         {.value = scale, .kind = graph::Input::Kind::Buffer, .source = scale_name}});
  std::ranges::stable_sort(program.inputs, {}, [](const graph::Input& input) {
    return input.kind == graph::Input::Kind::Parameter  ? 0
           : input.kind == graph::Input::Kind::Buffer   ? 1
           : input.kind == graph::Input::Kind::Constant ? 2
                                                        : 3;
  });
  const auto reader = std::ranges::find_if(program.ops, [&](const graph::Op& op) {
    return std::ranges::any_of(op.args, [&](const graph::NamedArg& named) {
      const auto ids = graph::values_in(named.arg);
      return std::ranges::find(ids, restored) != ids.end();
    });
  });
  graph::Op to{
      .target = "aten.to.dtype", .outputs = {wide}, .name = before.name + "_wide", .module = reader->module};
  to.args = {{"self", stored}, {"dtype", before.dtype}};
  graph::Op mul{.target = "aten.mul.Tensor",
                .outputs = {restored},
                .name = before.name + "_restored",
                .module = reader->module};
  mul.args = {{"self", wide}, {"other", scale}};
  program.ops.insert(reader, {std::move(to), std::move(mul)});
  model.weights[owner.source] = bytes.values;
  model.weights[scale_name] = bytes.scale;
}

std::string report_json(const Converted& done) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const Converted::Layer& layer : done.layers)
    layers.push_back({{"weight", layer.weight},
                      {"shape", layer.shape},
                      {"weight_error", layer.weight_error},
                      {"output_error", layer.output_error}});
  return nlohmann::ordered_json{{"schema", "pollard.precision/1"},
                                {"dtype", "int8"},
                                {"output_change", done.output_change},
                                {"layers", layers}}
      .dump();
}

}  // namespace

Converted to_int8(const models::Model& model, std::uint64_t seed) {
  const std::vector<Product> found = products(model.program);
  if (found.empty())
    throw UserError({.code = "E0472",
                     .exit = Exit::Unsupported,
                     .subject = "--dtype int8",
                     .message = "the network has no linear layer with a float weight of its own",
                     .help = "convolutions stay as they are; f16 and bf16 take every network"});
  Converted out{.model = model};
  std::vector<Bytes> bytes;
  for (const Product& product : found) {
    const std::string& name = parameter(model.program, product.weight)->source;
    const at::Tensor& weight = model.weights.at(name);
    bytes.push_back(quantise(weight, product.reduced));
    out.layers.push_back(
        {name, weight.sizes().vec(), relative(bytes.back().restored.sub(weight), weight), 0});
  }
  measure_layers(model, found, bytes, out.layers, seed);
  for (std::size_t i = 0; i < found.size(); ++i) store(out.model, found[i], bytes[i]);
  graph::check(out.model.program);
  const kernels::Executor dense(model.program), small(out.model.program);
  for (const std::vector<at::Tensor>& inputs : example_inputs(model, 2, seed))
    out.output_change = std::max(out.output_change, relative_change(dense.run(model.weights, inputs),
                                                                    small.run(out.model.weights, inputs)));
  out.model.metadata["pollard.precision"] = report_json(out);
  return out;
}

}  // namespace pollard::pruning
