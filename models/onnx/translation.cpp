// SPDX-License-Identifier: Apache-2.0
#include "models/onnx/translation.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <bit>

#include "graph/error.h"
#include "graph/program_edit.h"
#include "models/onnx/element_type.h"
#include "models/onnx/rules.h"

namespace pollard::models::onnx {

using graph::DType;
using graph::ValueId;

Translation::Translation(const graph::Program& program, const kernels::Weights& weights, int opset)
    : program_(program), weights_(weights) {
  graph_.opset = opset;
  // The caller's names come first: they are what people type.
  for (const graph::Input& input : program_.inputs)
    if (input.kind == graph::Input::Kind::User && !input.constant) taken_.insert(program_[input.value].name);
}

OnnxGraph Translation::run() {
  bind_inputs();
  for (const graph::Op& op : program_.ops) translate(op);
  bind_outputs();
  return std::move(graph_);
}

void Translation::bind_inputs() {
  for (const graph::Input& input : program_.inputs) {
    if (input.constant) continue;
    const graph::Value& value = program_[input.value];
    if (input.kind != graph::Input::Kind::User) {
      weight_inputs_[input.value.index] = &input;
      continue;
    }
    if (value.kind != graph::Value::Kind::Tensor)
      throw UserError({.code = "E0470",
                       .exit = Exit::Unsupported,
                       .subject = value.name,
                       .message = "the network takes a number as an input, which ONNX cannot say"});
    graph_.inputs.push_back({value.name, value.dtype, value.shape});
    names_[input.value.index] = value.name;
  }
}

void Translation::translate(const graph::Op& op) {
  op_ = &op;
  first_node_ = graph_.nodes.size();
  if (graph::writes(op)) refuse("it writes to memory that other values share");
  const OnnxRule* rule = find_rule(op.target);
  if (!rule) refuse("ONNX has no op for it");
  rule->translate(*this, *rule);
}

void Translation::bind_outputs() {
  op_ = nullptr;
  std::set<Name> given;
  for (const graph::Output& output : program_.outputs) {
    const auto* id = output.value.as<ValueId>();
    const bool user =
        output.kind == graph::Output::Kind::User || output.kind == graph::Output::Kind::LossOutput;
    if (!id || !user || program_[*id].kind != graph::Value::Kind::Tensor) continue;
    Name name = in(*id);
    const bool made = std::ranges::any_of(
        graph_.nodes, [&](const Node& n) { return std::ranges::count(n.outputs, name) > 0; });
    if (!made || !given.insert(name).second) name = node("Identity", {name});
    graph_.outputs.push_back({name, program_[*id].dtype, program_[*id].shape});
  }
}

void Translation::refuse(const std::string& why) const {
  throw UserError(
      {.code = "E0470",
       .exit = Exit::Unsupported,
       .subject = op_->target,
       .message = "cannot be exported to ONNX: " + why,
       .where = "node '" + op_->name + "'" + (op_->module.empty() ? "" : " in module '" + op_->module + "'"),
       .help = "write .pt2 or .safetensors instead, which hold every network"});
}

// ---- arguments

ValueId Translation::id(std::string_view argument) const {
  const auto found = op_->tensor(argument);
  if (!found) refuse("its argument " + std::string(argument) + " is missing");
  return *found;
}

std::int64_t Translation::rank(std::string_view argument) const {
  return static_cast<std::int64_t>(operand(argument).shape.size());
}

double Translation::real(std::string_view argument, double fallback) const {
  const graph::Arg* arg = op_->find(argument);
  if (!arg || arg->is_none()) return fallback;
  if (const auto* d = arg->as<double>()) return *d;
  if (const auto* i = arg->as<std::int64_t>()) return static_cast<double>(*i);
  if (const auto* b = arg->as<bool>()) return *b ? 1 : 0;
  refuse("its argument " + std::string(argument) + " is computed");
}

Ints Translation::ints(std::string_view argument, std::size_t count, std::int64_t fallback) const {
  Ints out;
  if (const graph::Arg* arg = op_->find(argument)) {
    if (const auto* one = arg->as<std::int64_t>()) out.assign(1, *one);
    if (arg->as<ValueId>()) refuse("its argument " + std::string(argument) + " is computed");
    if (const auto* items = arg->as<graph::Arg::List>())
      for (const graph::Arg& item : *items) {
        const auto* number = item.as<std::int64_t>();
        if (!number) refuse("its argument " + std::string(argument) + " is computed");
        out.push_back(*number);
      }
  }
  if (out.empty()) out.assign(count, fallback);
  if (out.size() == 1) out.assign(std::max<std::size_t>(count, 1), out[0]);
  return out;
}

Ints Translation::dims(std::string_view argument, std::int64_t rank) const {
  const graph::Arg* arg = op_->find(argument);
  const auto* items = arg ? arg->as<graph::Arg::List>() : nullptr;
  Ints out;
  if (arg && !arg->is_none() && !(items && items->empty())) {
    out = ints(argument, 1, 0);
    for (std::int64_t& d : out)
      if (d < 0) d += rank;
  } else {
    for (std::int64_t d = 0; d < rank; ++d) out.push_back(d);
  }
  return out;
}

std::int64_t Translation::dim(std::string_view argument, std::int64_t rank, std::int64_t fallback) const {
  const std::int64_t d = op_->int_or(argument, fallback);
  return d < 0 ? d + rank : d;
}

// ---- tensors

Name Translation::fresh(std::string_view base) {
  Name name(base);
  for (int k = 1; !taken_.insert(name).second; ++k) name = std::string(base) + "." + std::to_string(k);
  return name;
}

Name Translation::in(ValueId id) {
  if (const auto found = names_.find(id.index); found != names_.end()) return found->second;
  const auto input = weight_inputs_.find(id.index);
  if (input == weight_inputs_.end()) {
    if (op_) refuse("it reads '" + program_[id].name + "', a result that ONNX does not give");
    throw UserError({.code = "E0470",
                     .exit = Exit::Unsupported,
                     .subject = program_[id].name,
                     .message = "this output is a result that ONNX does not give"});
  }
  const graph::Input& source = *input->second;
  const std::string& owner = source.tied_to.empty() ? source.source : source.tied_to;
  auto [entry, first] = shared_.try_emplace("weight " + owner);
  if (first) {
    entry->second = fresh(owner);
    graph_.initializers.emplace_back(entry->second, weight(id)->detach().cpu().contiguous());
  }
  return names_[id.index] = entry->second;
}

Name Translation::in(std::string_view argument) { return in(id(argument)); }

std::optional<Name> Translation::maybe(std::string_view argument) {
  const auto found = op_->tensor(argument);
  return found ? std::optional(in(*found)) : std::nullopt;
}

std::optional<at::Tensor> Translation::weight(ValueId id) const {
  const auto input = weight_inputs_.find(id.index);
  if (input == weight_inputs_.end()) return std::nullopt;
  const auto found = weights_.find(input->second->source);
  POLLARD_CHECK(found != weights_.end(), "no weight named " + input->second->source);
  return found->second;
}

Name Translation::in_as(std::string_view argument, DType dtype) {
  return cast(in(argument), operand(argument).dtype, dtype);
}

Name Translation::number_as(const graph::Arg& arg, DType dtype) {
  if (const auto* value_id = arg.as<ValueId>()) {
    const graph::Value& given = value(*value_id);
    if (given.kind == graph::Value::Kind::Tensor) return cast(in(*value_id), given.dtype, dtype);
    return cast(element(in(*value_id)), DType::Int64, dtype);
  }
  if (const auto* d = arg.as<double>()) return scalar(*d, dtype);
  if (const auto* i = arg.as<std::int64_t>()) return scalar(static_cast<double>(*i), dtype);
  if (const auto* b = arg.as<bool>()) return scalar(*b ? 1 : 0, dtype);
  refuse("one of its arguments is no number");
}

Name Translation::constant(const at::Tensor& tensor, std::string_view what) {
  const Name name = fresh((op_ ? op_->name + "/" : std::string()) + std::string(what));
  graph_.initializers.emplace_back(name, tensor.contiguous());
  return name;
}

Name Translation::list(const Ints& values) {
  std::string key = "list";
  for (std::int64_t v : values) key += " " + std::to_string(v);
  auto [entry, first] = shared_.try_emplace(key);
  if (first) {
    entry->second = constant(at::tensor(values, at::kLong), "sizes");
    literals_[entry->second] = values;
  }
  return entry->second;
}

Name Translation::scalar(double value, DType dtype) {
  auto [entry, first] = shared_.try_emplace("scalar " + std::string(graph::to_string(dtype)) + " " +
                                            std::to_string(std::bit_cast<std::int64_t>(value)));
  if (first) entry->second = constant(at::full({}, value, kernels::to_scalar_type(dtype)), "number");
  return entry->second;
}

Name Translation::filled(const Name& shape, double value, DType dtype) {
  return node("ConstantOfShape", {shape}, {{"value", at::full({1}, value, kernels::to_scalar_type(dtype))}});
}

Name Translation::node(std::string_view type, Names inputs, Attributes attributes) {
  return node(type, std::move(inputs), 1, std::move(attributes)).front();
}

Names Translation::node(std::string_view type, Names inputs, std::size_t outputs, Attributes attributes) {
  Node made{.type = std::string(type), .inputs = std::move(inputs), .attributes = std::move(attributes)};
  made.name = (op_ ? op_->name : std::string("output")) + "/" + made.type;
  for (std::size_t i = 0; i < outputs; ++i) made.outputs.push_back(fresh(made.name));
  made.name = made.outputs.front();
  graph_.nodes.push_back(std::move(made));
  return graph_.nodes.back().outputs;
}

Name Translation::cast(const Name& name, DType from, DType to) {
  return from == to ? name : node("Cast", {name}, {{"to", element_type(to)}});
}

Name Translation::reduce(std::string_view type, const Name& name, const Ints& dims, bool keep) {
  const std::int64_t keepdims = keep ? 1 : 0;
  if (type == "ReduceSum" || opset() >= 18) return node(type, {name, list(dims)}, {{"keepdims", keepdims}});
  return node(type, {name}, {{"axes", dims}, {"keepdims", keepdims}});
}

void Translation::result(const Name& name, std::size_t index) {
  const ValueId target = op_->outputs.at(index);
  names_[target.index] = name;
  // The tensor takes the value's own name where a node of this op made it and the name is free.
  const std::string& wanted = program_[target].name;
  for (std::size_t i = first_node_; i < graph_.nodes.size(); ++i)
    for (Name& made : graph_.nodes[i].outputs)
      if (made == name && taken_.insert(wanted).second) {
        for (std::size_t k = i; k < graph_.nodes.size(); ++k)
          std::ranges::replace(graph_.nodes[k].inputs, name, wanted);
        made = wanted;
        names_[target.index] = wanted;
        return;
      }
}

// ---- sizes

std::optional<Ints> Translation::known(const Name& name) const {
  const auto found = literals_.find(name);
  return found == literals_.end() ? std::nullopt : std::optional(found->second);
}

Name Translation::size(ValueId tensor, std::int64_t dim) {
  const graph::Size& length = value(tensor).shape.at(static_cast<std::size_t>(dim));
  if (!length.symbolic()) return list({length.hint});
  return node("Shape", {in(tensor)}, {{"start", dim}, {"end", dim + 1}});
}

Name Translation::size(const graph::Arg& arg) {
  if (const auto* number = arg.as<std::int64_t>()) return list({*number});
  const auto* given = arg.as<ValueId>();
  if (!given) refuse("a size is no number");
  if (value(*given).kind == graph::Value::Kind::Tensor)
    return reshape(cast(in(*given), value(*given).dtype, DType::Int64), {list({1})});
  return in(*given);
}

Names Translation::sizes(const graph::Arg& given) {
  const auto* items = given.as<graph::Arg::List>();
  if (!items) return {size(given)};
  Names out;
  for (const graph::Arg& item : *items) out.push_back(size(item));
  return out;
}

Names Translation::sizes(ValueId tensor, std::int64_t from, std::int64_t to) {
  Names out;
  for (std::int64_t d = from; d < to; ++d) out.push_back(size(tensor, d));
  return out;
}

Name Translation::join(const Names& sizes) {
  Ints all;
  for (const Name& name : sizes) {
    const auto numbers = known(name);
    if (!numbers) return sizes.size() == 1 ? name : node("Concat", sizes, {{"axis", std::int64_t{0}}});
    all.insert(all.end(), numbers->begin(), numbers->end());
  }
  return list(all);
}

Name Translation::element(const Name& size) { return squeeze(size, {0}); }

Name Translation::reshape(const Name& name, const Names& sizes) {
  const Name shape = join(sizes);
  // Without allowzero a 0 means "as it was".
  return node("Reshape", {name, shape}, {{"allowzero", std::int64_t{1}}});
}

Name Translation::unsqueeze(const Name& name, const Ints& dims) {
  return dims.empty() ? name : node("Unsqueeze", {name, list(dims)});
}

Name Translation::squeeze(const Name& name, const Ints& dims) {
  return dims.empty() ? name : node("Squeeze", {name, list(dims)});
}

Name Translation::transpose(const Name& name, const Ints& order) {
  return std::ranges::is_sorted(order) ? name : node("Transpose", {name}, {{"perm", order}});
}

Name Translation::slice(const Name& name, std::int64_t dim, const Name& start, const Name& end,
                        const Name& step) {
  Names inputs{name, start, end, list({dim})};
  if (!step.empty()) inputs.push_back(step);
  return node("Slice", inputs);
}

}  // namespace pollard::models::onnx
