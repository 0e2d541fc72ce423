// SPDX-License-Identifier: Apache-2.0
#include "models/capture.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "graph/program_edit.h"
#include "models/generalise.h"
#include "models/meta_kernels.h"
#include "models/trace.h"
#include "models/trace_arguments.h"

namespace pollard::models {
namespace {

/// Gives every tensor of the network a meta twin, and the originals back at the end.
class OnMeta {
 public:
  explicit OnMeta(Network& network) {
    for (const auto& entry : network.entries()) {
      if (!entry.tied_to.empty()) continue;
      at::Tensor& t = entry.tensor();
      originals_.emplace_back(&t, t);
      t = at::empty_strided(t.sizes(), t.strides(), t.options().device(at::kMeta));
    }
  }
  ~OnMeta() {
    for (auto& [slot, tensor] : originals_) *slot = tensor;
  }
  OnMeta(const OnMeta&) = delete;
  OnMeta& operator=(const OnMeta&) = delete;

 private:
  std::vector<std::pair<at::Tensor*, at::Tensor>> originals_;
};

/// The symbols of the examples with the sizes to try: the example's own first.
struct Plan {
  std::vector<SymbolSource> symbols;
  std::map<std::string, std::size_t> index;  ///< by the example's symbol name
  std::vector<std::vector<std::int64_t>> levels, checks;
};

/// Small numbers without common factors, beyond the least size where that is larger; 0 and 1 would broadcast.
std::vector<std::int64_t> sizes_to_try(const Dim& dim) {
  std::vector<std::int64_t> out{dim.size};
  const std::int64_t above = std::max<std::int64_t>(0, dim.min - 2);
  for (const std::int64_t beyond : {3, 7, 5, 11, 4, 6, 8, 9, 10, 2}) {
    const std::int64_t candidate = above + beyond;
    if (candidate != dim.size && candidate <= dim.max.value_or(candidate)) out.push_back(candidate);
  }
  if (out.size() > 4) out.resize(4);
  return out;
}

/// Three levels allow squares; the fourth size checks. With fewer sizes to try, a lower degree.
Plan plan_sizes(const std::vector<Example>& examples) {
  Plan plan;
  std::vector<std::int64_t> check;
  for (std::size_t i = 0; i < examples.size(); ++i)
    for (std::size_t d = 0; d < examples[i].shape.size(); ++d) {
      const Dim& dim = examples[i].shape[d];
      if (dim.symbol.empty() || plan.index.contains(dim.symbol)) continue;
      auto sizes = sizes_to_try(dim);
      if (sizes.size() < 3) continue;  // no room to vary: fixed at the example's size
      plan.index.emplace(dim.symbol, plan.symbols.size());
      plan.symbols.push_back(
          {.symbol = {.name = "s" + std::to_string(plan.symbols.size()), .min = dim.min, .max = dim.max},
           .input = i,
           .dimension = static_cast<std::int64_t>(d)});
      check.push_back(sizes.back());
      sizes.pop_back();
      plan.levels.push_back(std::move(sizes));
    }
  if (!check.empty()) plan.checks.push_back(std::move(check));
  return plan;
}

std::vector<at::Tensor> meta_inputs(const std::vector<Example>& examples, const Plan& plan,
                                    const std::vector<std::int64_t>& point, at::ScalarType floating) {
  std::vector<at::Tensor> out;
  for (const Example& example : examples) {
    std::vector<std::int64_t> shape;
    for (const Dim& dim : example.shape) {
      const auto symbol = plan.index.find(dim.symbol);
      shape.push_back(symbol == plan.index.end() ? dim.size : point[symbol->second]);
    }
    const bool is_float = c10::isFloatingType(example.dtype);
    out.push_back(
        at::empty(shape, at::TensorOptions().device(at::kMeta).dtype(is_float ? floating : example.dtype)));
  }
  return out;
}

/// The type the network's inputs should have: that of its parameters.
at::ScalarType floating_type(Network& network) {
  for (const auto& entry : network.entries())
    if (entry.is_parameter() && entry.tensor().is_floating_point()) return entry.tensor().scalar_type();
  return at::kFloat;
}

using Json = nlohmann::ordered_json;

Json leaf() { return {{"type", nullptr}, {"context", nullptr}, {"children_spec", Json::array()}}; }

Json leaves(const char* type, const std::string& context, std::size_t count) {
  Json children = Json::array();
  for (std::size_t i = 0; i < count; ++i) children.push_back(leaf());
  return {{"type", type}, {"context", context}, {"children_spec", children}};
}

/// torch.utils._pytree's text form, version 1.
std::string tree_spec(const Json& tree) { return Json::array({1, tree}).dump(); }

graph::CallSpec call_spec(const std::vector<Example>& examples, const Result& result) {
  graph::CallSpec call;
  const Json arguments =
      Json::array({leaves("builtins.tuple", "null", examples.size()), leaves("builtins.dict", "[]", 0)});
  call.in_spec = tree_spec({{"type", "builtins.tuple"}, {"context", "null"}, {"children_spec", arguments}});
  for (const Example& example : examples) call.forward_arg_names.push_back(example.name);
  Json keys = Json::array();
  for (const auto& [name, tensor] : result.items()) keys.push_back(name);
  switch (result.kind()) {
    case Result::Kind::Tensor: call.out_spec = tree_spec(leaf()); break;
    case Result::Kind::Tuple: call.out_spec = tree_spec(leaves("builtins.tuple", "null", keys.size())); break;
    case Result::Kind::Dict:
      call.out_spec = tree_spec(leaves("builtins.dict", keys.dump(), keys.size()));
      break;
  }
  return call;
}

}  // namespace

Captured capture(Network& network) {
  Captured out;
  for (const auto& entry : network.entries()) out.weights[entry.key] = entry.tensor();

  const auto examples = network.examples();
  const Plan plan = plan_sizes(examples);
  const PolynomialFit fit(plan.levels, plan.checks);
  const at::ScalarType floating = floating_type(network);
  std::vector<std::string> names;
  for (const Example& example : examples) names.push_back(example.name);

  const MetaKernels meta_kernels;
  const OnMeta on_meta(network);
  Generaliser generaliser(fit, plan.symbols);
  graph::CallSpec call;
  for (const auto& point : fit.points()) {
    Trace one = trace(network, meta_inputs(examples, plan, point, floating), names);
    if (call.in_spec.empty()) call = call_spec(examples, one.result);
    for (auto& [source, tensor] : one.constants) out.weights.try_emplace(source, tensor);
    generaliser.add(std::move(one.program));
  }
  out.program = generaliser.finish();
  out.program.call = std::move(call);
  for (graph::Op& op : out.program.ops) drop_defaults(op);
  graph::remove_dead_ops(out.program);
  graph::check(out.program);
  // A copy lies in memory in the order of its ops, which every later pass walks; what tracing left lies in between others'.
  out.program = graph::Program(out.program);
  return out;
}

graph::Program trace_shapes(Network& network, const std::vector<at::Tensor>& inputs) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < inputs.size(); ++i) names.push_back("input_" + std::to_string(i));
  std::vector<at::Tensor> meta;
  for (const at::Tensor& input : inputs) meta.push_back(input.to(at::kMeta));
  const MetaKernels meta_kernels;
  const OnMeta on_meta(network);
  graph::Program program = trace(network, meta, names).program;
  for (graph::Op& op : program.ops) drop_defaults(op);
  graph::remove_dead_ops(program);
  return program;
}

}  // namespace pollard::models
