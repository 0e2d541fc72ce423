// SPDX-License-Identifier: Apache-2.0
#include "models/io/pt2_graph_writer.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "graph/error.h"
#include "kernels/allowed_ops.h"
#include "models/io/pt2_schema.h"
#include "models/io/pt2_trees.h"
#include "models/io/pt2_values.h"

namespace pollard::models::io::pt2 {

using graph::Arg;
using graph::Value;
using graph::ValueId;

namespace {

const c10::FunctionSchema* find_schema(const std::string& target) {
  const kernels::OpName name = kernels::parse_op_name(target);
  if (name.space.empty() || kernels::is_scalar_op(target)) return nullptr;
  const auto handle = c10::Dispatcher::singleton().findSchema({name.qualified(), name.overload});
  return handle ? &handle->schema() : nullptr;
}

const c10::Type& unwrap(const c10::Type& type) {
  return type.kind() == c10::TypeKind::OptionalType ? *type.castRaw<c10::OptionalType>()->getElementType()
                                                    : type;
}

/// Which alternative an empty list takes; a list with elements says it itself.
std::string empty_list_kind(const c10::Type& type) {
  if (type.kind() != c10::TypeKind::ListType) return "as_ints";
  switch (unwrap(*type.castRaw<c10::ListType>()->getElementType()).kind()) {
    case c10::TypeKind::TensorType: return "as_tensors";
    case c10::TypeKind::FloatType: return "as_floats";
    case c10::TypeKind::BoolType: return "as_bools";
    case c10::TypeKind::StringType: return "as_strings";
    default: return "as_ints";
  }
}

OrderedJson number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

OrderedJson device_json(const graph::Device& device) {
  return {{"type", device.type}, {"index", device.index ? OrderedJson(*device.index) : OrderedJson()}};
}

/// Sizes that come from data (u0, a count of non-zeros) have no example.
bool is_unbacked(const std::string& expression) {
  for (std::size_t i = 0; i + 1 < expression.size(); ++i)
    if (expression[i] == 'u' && std::isdigit(static_cast<unsigned char>(expression[i + 1])) != 0 &&
        (i == 0 ||
         (std::isalnum(static_cast<unsigned char>(expression[i - 1])) == 0 && expression[i - 1] != '_')))
      return true;
  return false;
}

std::vector<graph::Size> dense_strides(const std::vector<graph::Size>& shape) {
  std::vector<graph::Size> strides(shape.size(), {1, ""});
  std::string symbolic;
  std::int64_t fixed = 1, hint = 1;
  for (std::size_t i = shape.size(); i-- > 1;) {
    hint *= std::max<std::int64_t>(shape[i].hint, 1);
    if (shape[i].symbolic())
      symbolic += (symbolic.empty() ? "(" : "*(") + shape[i].expr + ")";
    else
      fixed *= std::max<std::int64_t>(shape[i].hint, 1);
    strides[i - 1] = {hint, symbolic.empty() ? "" : std::to_string(fixed) + "*" + symbolic};
  }
  return strides;
}

}  // namespace

GraphWriter::GraphWriter(const graph::Program& program) : program_(program) {
  for (const graph::Symbol& symbol : program.symbols) assumptions_[symbol.name] = symbol.assumptions;
  for (const Value& value : program.values) value_names_.insert(value.name);
}

OrderedJson GraphWriter::carried(const char* key, OrderedJson otherwise) const {
  const auto found = program_.carried.find(key);
  return found == program_.carried.end() ? otherwise : OrderedJson::parse(found->second);
}

OrderedJson GraphWriter::exported_program() const {
  OrderedJson module{
      {"graph", graph()},
      {"signature", signature()},
      {"module_call_graph", module_call_graph()},
      {"metadata", carried("metadata", OrderedJson::object())},
      {"treespec_namedtuple_fields", carried("treespec_namedtuple_fields", OrderedJson::object())}};
  return {{"graph_module", std::move(module)},
          {"opset_version", carried("opset_version", {{"aten", 10}})},
          {"range_constraints", range_constraints()},
          {"schema_version", carried("schema_version", {{"major", kSchemaMajor}, {"minor", kSchemaMinor}})},
          {"verifiers", carried("verifiers", OrderedJson::array({"TRAINING"}))},
          {"torch_version", carried("torch_version", "2.15.0")},
          {"guards_code", carried("guards_code", OrderedJson::array())}};
}

OrderedJson GraphWriter::graph() const {
  OrderedJson inputs = OrderedJson::array(), outputs = OrderedJson::array(), nodes = OrderedJson::array();
  for (const graph::Input& input : program_.inputs)
    inputs.push_back(input.constant ? argument(*input.constant, "as_ints") : value_argument(input.value));
  for (const graph::Output& output : program_.outputs) outputs.push_back(argument(output.value, "as_ints"));
  for (const graph::Op& op : program_.ops) nodes.push_back(node(op));
  return {{"inputs", std::move(inputs)},
          {"outputs", std::move(outputs)},
          {"nodes", std::move(nodes)},
          {"tensor_values", values(Value::Kind::Tensor)},
          {"sym_int_values", values(Value::Kind::Int)},
          {"sym_bool_values", values(Value::Kind::Bool)},
          {"is_single_tensor_return", false},
          {"custom_obj_values", OrderedJson::object()},
          {"sym_float_values", values(Value::Kind::Float)}};
}

OrderedJson GraphWriter::size(const graph::Size& size) const {
  if (!size.symbolic()) return {{"as_int", size.hint}};
  const OrderedJson hint = is_unbacked(size.expr) ? OrderedJson() : OrderedJson{{"as_int", size.hint}};
  return {{"as_expr", {{"expr_str", write_symbolic(size.expr, assumptions_)}, {"hint", hint}}}};
}

OrderedJson GraphWriter::tensor_meta(const Value& value,
                                     const std::vector<std::int64_t>* given_strides) const {
  OrderedJson sizes = OrderedJson::array(), strides = OrderedJson::array();
  for (const graph::Size& dim : value.shape) sizes.push_back(size(dim));
  std::vector<graph::Size> steps = dense_strides(value.shape);
  const auto& known = given_strides ? *given_strides : value.strides;
  if (known.size() == steps.size())
    for (std::size_t i = 0; i < known.size(); ++i)
      steps[i] = {known[i], !given_strides && i < value.stride_exprs.size() ? value.stride_exprs[i] : ""};
  for (const graph::Size& step : steps) strides.push_back(size(step));
  return {{"dtype", code_of(value.dtype)},        {"sizes", std::move(sizes)},
          {"requires_grad", value.requires_grad}, {"device", device_json(value.device)},
          {"strides", std::move(strides)},        {"storage_offset", {{"as_int", 0}}},
          {"layout", layout_code(value.layout)}};
}

OrderedJson GraphWriter::values(Value::Kind kind) const {
  OrderedJson out = OrderedJson::object();
  const auto add = [&](ValueId id) {
    const Value& value = program_[id];
    if (value.kind != kind) return;
    if (kind == Value::Kind::Tensor)
      out[value.name] = tensor_meta(value);
    else if (kind == Value::Kind::Int)
      out[value.name] = size(value.scalar);
    else if (value.scalar.symbolic())
      out[value.name] = {
          {"as_expr", {{"expr_str", write_symbolic(value.scalar.expr, assumptions_)}, {"hint", nullptr}}}};
    else
      out[value.name] = kind == Value::Kind::Bool
                            ? OrderedJson{{"as_bool", value.scalar.hint != 0}}
                            : OrderedJson{{"as_float", static_cast<double>(value.scalar.hint)}};
  };
  for (const graph::Input& input : program_.inputs)
    if (!input.constant) add(input.value);
  for (const graph::Op& op : program_.ops)
    for (ValueId id : op.outputs) add(id);
  return out;
}

OrderedJson GraphWriter::value_argument(ValueId id) const {
  const Value& value = program_[id];
  switch (value.kind) {
    case Value::Kind::Tensor: return {{"as_tensor", {{"name", value.name}}}};
    case Value::Kind::Int: return {{"as_sym_int", {{"as_name", value.name}}}};
    case Value::Kind::Float: return {{"as_sym_float", {{"as_name", value.name}}}};
    case Value::Kind::Bool: return {{"as_sym_bool", {{"as_name", value.name}}}};
    case Value::Kind::None: break;
  }
  return {{"as_none", true}};
}

OrderedJson GraphWriter::argument(const Arg& arg, const std::string& empty_kind) const {
  if (const auto* id = arg.as<ValueId>()) return value_argument(*id);
  if (const auto* list = arg.as<Arg::List>()) return list_argument(*list, empty_kind);
  if (const auto* v = arg.as<bool>()) return {{"as_bool", *v}};
  if (const auto* v = arg.as<std::int64_t>()) return {{"as_int", *v}};
  if (const auto* v = arg.as<double>()) return {{"as_float", number(*v)}};
  if (const auto* v = arg.as<std::string>()) return {{"as_string", *v}};
  if (const auto* v = arg.as<graph::DType>()) return {{"as_scalar_type", code_of(*v)}};
  if (const auto* v = arg.as<graph::Device>()) return {{"as_device", device_json(*v)}};
  if (const auto* v = arg.as<graph::Layout>()) return {{"as_layout", layout_code(v->name)}};
  if (const auto* v = arg.as<graph::MemoryFormat>())
    return {{"as_memory_format", memory_format_code(v->name)}};
  return {{"as_none", true}};
}

OrderedJson GraphWriter::list_argument(const Arg::List& list, const std::string& empty_kind) const {
  if (list.empty()) return {{empty_kind, OrderedJson::array()}};
  OrderedJson items = OrderedJson::array();
  const auto all = [&](auto&& holds) { return std::all_of(list.begin(), list.end(), holds); };
  const auto tensor = [&](const Arg& a) {
    return a.as<ValueId>() && program_[*a.as<ValueId>()].kind == Value::Kind::Tensor;
  };
  if (all([](const Arg& a) { return a.as<Arg::List>() != nullptr; })) {
    std::string inner = "as_ints";
    for (const Arg& a : list) {
      const OrderedJson one = list_argument(*a.as<Arg::List>(), "as_tensors");
      inner = one.begin().key();
      items.push_back(one.begin().value());
    }
    return {{inner == "as_tensors"  ? "as_nested_tensors"
             : inner == "as_floats" ? "as_float_lists"
                                    : "as_int_lists",
             items}};
  }
  if (all(tensor)) {
    for (const Arg& a : list) items.push_back({{"name", program_[*a.as<ValueId>()].name}});
    return {{"as_tensors", items}};
  }
  if (all([&](const Arg& a) { return a.is_none() || tensor(a); })) {
    for (const Arg& a : list) items.push_back(argument(a, empty_kind));
    return {{"as_optional_tensors", items}};
  }
  // One kind of number for all: values among them make the list symbolic, a float makes it one of floats.
  const bool symbolic = !all([](const Arg& a) { return a.as<ValueId>() == nullptr; });
  const bool floats = !all([&](const Arg& a) {
    return !a.as<double>() && !(a.as<ValueId>() && program_[*a.as<ValueId>()].kind == Value::Kind::Float);
  });
  const std::string kind = list[0].as<bool>()          ? "bool"
                           : list[0].as<std::string>() ? "string"
                           : floats                    ? "float"
                                                       : "int";
  for (const Arg& a : list) {
    if (const auto* id = a.as<ValueId>()) {
      items.push_back({{"as_name", program_[*id].name}});
      continue;
    }
    const auto* whole = a.as<std::int64_t>();
    const OrderedJson plain =
        floats && whole ? OrderedJson(static_cast<double>(*whole)) : argument(a, empty_kind).begin().value();
    items.push_back(symbolic ? OrderedJson{{"as_" + kind, plain}} : plain);
  }
  return {{(symbolic ? "as_sym_" : "as_") + kind + "s", items}};
}

std::string GraphWriter::node_name(const graph::Op& op) const {
  if (op.outputs.size() == 1) return program_[op.outputs[0]].name;
  std::string name = op.name;
  while (value_names_.contains(name)) name += "_op";  // Python gives the tuple itself this name
  return name;
}

OrderedJson GraphWriter::node(const graph::Op& op) const {
  const bool python = kernels::is_scalar_op(op.target) || op.target.starts_with('#');
  return {{"target", (python ? "" : "torch.ops.") + op.target},
          {"inputs", node_inputs(op)},
          {"outputs", node_outputs(op)},
          {"metadata", metadata(op)},
          {"is_hop_single_tensor_return", nullptr},
          {"name", node_name(op)}};
}

OrderedJson GraphWriter::node_inputs(const graph::Op& op) const {
  OrderedJson inputs = OrderedJson::array();
  const auto add = [&](const std::string& name, const Arg& arg, const std::string& empty_kind, bool keyword) {
    const auto kind = keyword ? ArgumentKind::Keyword : ArgumentKind::Positional;
    inputs.push_back(
        {{"name", name}, {"arg", argument(arg, empty_kind)}, {"kind", static_cast<std::int64_t>(kind)}});
  };
  const c10::FunctionSchema* schema = find_schema(op.target);
  if (!schema) {
    for (const graph::NamedArg& named : op.args) add(named.name, named.arg, "as_ints", named.keyword);
    return inputs;
  }
  bool by_position = true;  // until an argument is left out or passed by name
  for (const c10::Argument& parameter : schema->arguments()) {
    const auto given = std::find_if(op.args.begin(), op.args.end(), [&](const graph::NamedArg& named) {
      return named.name == parameter.name();
    });
    by_position = by_position && given != op.args.end() && !given->keyword && !parameter.kwarg_only();
    if (given != op.args.end())
      add(given->name, given->arg, empty_list_kind(unwrap(*parameter.type())), !by_position);
  }
  return inputs;
}

OrderedJson GraphWriter::node_outputs(const graph::Op& op) const {
  OrderedJson outputs = OrderedJson::array();
  const c10::FunctionSchema* schema = find_schema(op.target);
  if (!schema) {
    for (ValueId id : op.outputs) outputs.push_back(value_argument(id));
    return outputs;
  }
  const std::size_t returns = schema->returns().size();
  if (op.outputs.empty() && returns == 1) outputs.push_back({{"as_none", true}});
  if (op.outputs.empty()) return outputs;
  std::size_t next = 0;
  for (const c10::Argument& result : schema->returns()) {
    if (result.type()->kind() != c10::TypeKind::ListType) {
      POLLARD_CHECK(next < op.outputs.size(), op.name + " names too few results");
      outputs.push_back(value_argument(op.outputs[next++]));
      continue;
    }
    OrderedJson items = OrderedJson::array();
    for (std::size_t count = op.outputs.size() - (returns - 1); count > 0; --count)
      items.push_back({{"name", program_[op.outputs[next++]].name}});
    outputs.push_back({{"as_tensors", std::move(items)}});
  }
  return outputs;
}

OrderedJson GraphWriter::metadata(const graph::Op& op) const {
  OrderedJson out = OrderedJson::object();
  for (const auto& [key, text] : op.metadata) out[key] = text;
  if (op.metadata.contains("nn_module_stack") || op.module.empty()) return out;
  std::string stack = "L__self__,,pollard.Network";
  for (std::size_t end = op.module.find('.');; end = op.module.find('.', end + 1)) {
    const std::string path = op.module.substr(0, end);
    stack += ";L__self__" + path + "," + path + ",pollard.Module";
    if (end == std::string::npos) break;
  }
  out["nn_module_stack"] = stack;
  return out;
}

OrderedJson GraphWriter::signature() const {
  OrderedJson inputs = OrderedJson::array(), outputs = OrderedJson::array();
  for (const graph::Input& input : program_.inputs) inputs.push_back(input_spec(input));
  for (const graph::Output& output : program_.outputs) outputs.push_back(output_spec(output));
  return {{"input_specs", std::move(inputs)}, {"output_specs", std::move(outputs)}};
}

OrderedJson GraphWriter::input_spec(const graph::Input& input) const {
  using Kind = graph::Input::Kind;
  const std::string& name = program_[input.value].name;
  const OrderedJson arg{{"name", name}};
  switch (input.kind) {
    case Kind::Parameter: return {{"parameter", {{"arg", arg}, {"parameter_name", input.source}}}};
    case Kind::Buffer:
      return {{"buffer", {{"arg", arg}, {"buffer_name", input.source}, {"persistent", input.persistent}}}};
    case Kind::Constant: return {{"tensor_constant", {{"arg", arg}, {"tensor_constant_name", input.source}}}};
    case Kind::User: break;
  }
  if (input.constant)
    return {{"constant_input", {{"name", name}, {"value", argument(*input.constant, "as_ints")}}}};
  return {{"user_input", {{"arg", value_argument(input.value)}}}};
}

OrderedJson GraphWriter::output_spec(const graph::Output& output) const {
  using Kind = graph::Output::Kind;
  if (output.kind == Kind::User) return {{"user_output", {{"arg", argument(output.value, "as_ints")}}}};
  const auto* id = output.value.as<ValueId>();
  POLLARD_CHECK(id, "an output that is no value");
  const OrderedJson arg{{"name", program_[*id].name}};
  if (output.kind == Kind::LossOutput) return {{"loss_output", {{"arg", arg}}}};
  if (output.kind == Kind::InputMutation)
    return {{"user_input_mutation", {{"arg", arg}, {"user_input_name", output.target}}}};
  const graph::Input* input = program_.find_input(output.target);
  if (input && input->kind == graph::Input::Kind::Parameter)
    return {{"parameter_mutation", {{"arg", arg}, {"parameter_name", output.target}}}};
  return {{"buffer_mutation", {{"arg", arg}, {"buffer_name", output.target}}}};
}

OrderedJson GraphWriter::module_call_graph() const {
  OrderedJson entries =
      carried("module_call_graph", OrderedJson::array({{{"fqn", ""}, {"signature", nullptr}}}));
  const graph::CallSpec call = call_spec(program_);
  for (OrderedJson& entry : entries) {
    if (entry.at("fqn") != "") continue;
    OrderedJson& signature = entry["signature"];
    if (signature.is_null())
      signature = {{"inputs", OrderedJson::array()}, {"outputs", OrderedJson::array()}};
    signature["in_spec"] = call.in_spec;
    signature["out_spec"] = call.out_spec;
    signature["forward_arg_names"] =
        call.forward_arg_names.empty() ? OrderedJson() : OrderedJson(call.forward_arg_names);
  }
  return entries;
}

OrderedJson GraphWriter::range_constraints() const {
  OrderedJson out = OrderedJson::object();
  const auto bound = [](const std::optional<std::int64_t>& value) {
    return value ? OrderedJson(*value) : OrderedJson();
  };
  for (const graph::Symbol& symbol : program_.symbols)
    out[symbol.name] = {{"min_val", bound(symbol.min)}, {"max_val", bound(symbol.max)}};
  return out;
}

}  // namespace pollard::models::io::pt2
