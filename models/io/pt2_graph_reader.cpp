// SPDX-License-Identifier: Apache-2.0
#include "models/io/pt2_graph_reader.h"

#include <algorithm>
#include <array>

#include "models/io/pt2_schema.h"
#include "models/io/text.h"

namespace pollard::models::io::pt2 {

using graph::Arg;
using graph::ValueId;

namespace {

constexpr std::string_view kOpPrefix = "torch.ops.";
constexpr std::string_view kHigherOrder = "torch.ops.higher_order.";

/// Node names and value names go into other programs' source text and into messages.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 1024 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
}

bool is_state_name(std::string_view name) {
  return !name.empty() && name.size() <= 1024 && !has_control_characters(name);
}

/// What every program keeps (graph::check), as the file's fault: a value is made once, under a name of its own.
void check_values(JsonReader& reader, const graph::Program& program) {
  std::set<std::int32_t> made;
  std::set<std::string_view> names;
  const auto define = [&](ValueId id, const std::string& by) {
    reader.at(by);
    if (!made.insert(id.index).second) reader.fail("value " + in_quotes(program[id].name) + " is made twice");
    if (!names.insert(program[id].name).second)
      reader.fail("two values are called " + in_quotes(program[id].name));
  };
  for (const graph::Input& input : program.inputs)
    if (!input.constant) define(input.value, "input " + in_quotes(input.source));
  for (const graph::Op& op : program.ops)
    for (const ValueId id : op.outputs) define(id, "node " + in_quotes(op.name));
  reader.at("");
}

}  // namespace

std::string module_path(const std::string& stack) {
  // "key,path,type;key,path,type": commas and semicolons inside brackets belong to keys
  const std::string last = stack.substr(stack.rfind(';') == std::string::npos ? 0 : stack.rfind(';') + 1);
  std::vector<std::string> fields{""};
  int depth = 0;
  for (char c : last) {
    depth += c == '[' || c == '(' ? 1 : c == ']' || c == ')' ? -1 : 0;
    if (c == ',' && depth == 0)
      fields.emplace_back();
    else
      fields.back() += c;
  }
  return fields.size() == 3 ? fields[1] : "";
}

graph::Program GraphReader::read() {
  const Json& module = reader_.member(root_, "graph_module");
  const Json& version = reader_.member(root_, "schema_version");
  if (reader_.integer(version, "major") != kSchemaMajor)
    reader_.unsupported("schema version " + std::to_string(reader_.integer(version, "major")) +
                            " (this reads " + std::to_string(kSchemaMajor) + ")",
                        "export the model again with torch 2.5 or later");
  const Json& graph = reader_.member(module, "graph");
  reserve_names(graph);
  Scope scope;
  read_inputs(graph, scope);
  read_nodes(graph, scope, {});
  reader_.at("outputs");
  read_outputs(graph, scope);
  reader_.at("");
  carry_rest();
  read_symbols();
  check_values(reader_, program_);
  return std::move(program_);
}

void GraphReader::read_symbols() {
  for (const auto& [name, range] : reader_.object(reader_.member(root_, "range_constraints")).items()) {
    reader_.at("range constraint " + name);
    if (!is_plain_name(name)) reader_.fail("symbol name " + in_quotes(name) + " is not allowed");
    graph::Symbol symbol{.name = name};
    if (const Json* low = reader_.find(range, "min_val")) symbol.min = reader_.integer(*low);
    if (const Json* high = reader_.find(range, "max_val")) symbol.max = reader_.integer(*high);
    program_.symbols.push_back(std::move(symbol));
  }
  for (const auto& [name, assumed] : assumptions_) {
    auto& symbols = program_.symbols;
    auto known = std::find_if(symbols.begin(), symbols.end(), [&](const auto& s) { return s.name == name; });
    if (known == symbols.end()) known = symbols.insert(symbols.end(), graph::Symbol{.name = name});
    known->assumptions = assumed;
  }
}

void GraphReader::reserve_names(const Json& graph) {
  for (const char* table : {"tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values"})
    if (const Json* values = reader_.find(graph, table))
      for (const auto& [name, meta] : reader_.object(*values).items()) value_names_.insert(name);
}

std::string GraphReader::fresh(const std::string& wanted, std::set<std::string>& used) const {
  std::string name = wanted;
  for (int i = 1; !used.insert(name).second; ++i) name = wanted + "_" + std::to_string(i);
  return name;
}

graph::Value GraphReader::describe(const std::string& name, const Json& graph) {
  using Kind = graph::Value::Kind;
  if (!is_plain_name(name)) reader_.fail("value name " + in_quotes(name) + " is not allowed");
  if (const Json* meta = reader_.find(reader_.member(graph, "tensor_values"), name.c_str()))
    return to_value(name, read_tensor_meta(reader_, *meta, assumptions_));
  constexpr std::array<std::pair<const char*, Kind>, 3> kTables{
      {{"sym_int_values", Kind::Int}, {"sym_bool_values", Kind::Bool}, {"sym_float_values", Kind::Float}}};
  for (const auto& [table, kind] : kTables) {
    const Json* values = reader_.find(graph, table);
    const Json* symbolic = values ? reader_.find(*values, name.c_str()) : nullptr;
    if (!symbolic) continue;
    graph::Value value{.name = name, .kind = kind};
    const auto& [form, content] = reader_.alternative(*symbolic);
    if (kind == Kind::Int) {
      value.scalar = read_sym_int(reader_, *symbolic, assumptions_);
    } else if (form == "as_expr") {
      const auto text = read_symbolic(reader_.string(content, "expr_str"), assumptions_);
      if (!text) reader_.fail("expression of " + in_quotes(name) + " is not understood");
      value.scalar.expr = *text;
    }
    return value;
  }
  reader_.fail("value " + in_quotes(name) + " is not described");
}

ValueId GraphReader::define(const std::string& name, const Json& graph, Scope& scope) {
  graph::Value value = describe(name, graph);
  if (inside_) value.name = fresh(name, value_names_);
  const ValueId id = program_.add(std::move(value));
  if (!scope.emplace(name, id).second) reader_.fail("value " + in_quotes(name) + " is defined twice");
  return id;
}

Arg GraphReader::lookup(const std::string& name, const Scope& scope) const {
  const auto found = scope.find(name);
  if (found == scope.end()) reader_.fail("value " + in_quotes(name) + " is read before anything defines it");
  return found->second;
}

ValueId GraphReader::lookup_value(const std::string& name, const Scope& scope) const {
  const Arg arg = lookup(name, scope);
  if (const auto* id = arg.as<ValueId>()) return *id;
  reader_.fail("value " + in_quotes(name) + " is a constant where a tensor is expected");
}

Arg GraphReader::argument(const Json& json, const Scope& scope) const {
  const auto [kind, value] = reader_.alternative(json);
  const auto coded = [&](const auto& found) -> decltype(*found) {
    if (!found) reader_.fail("code " + value.dump() + " of " + kind + " is not known");
    return *found;
  };
  if (kind == "as_tensor") return lookup(reader_.string(value, "name"), scope);
  if (kind == "as_none") return {};
  if (kind == "as_int") return reader_.integer(value);
  if (kind == "as_float") return reader_.number(value);
  if (kind == "as_bool") return reader_.boolean(value);
  if (kind == "as_string") return reader_.string(value);
  if (kind == "as_scalar_type") return coded(dtype_from_code(reader_.integer(value)));
  if (kind == "as_layout") return graph::Layout{coded(layout_from_code(reader_.integer(value)))};
  if (kind == "as_memory_format")
    return graph::MemoryFormat{coded(memory_format_from_code(reader_.integer(value)))};
  if (kind == "as_device") return read_device(reader_, value);
  if (kind == "as_optional_tensor") return argument(value, scope);
  if (kind == "as_sym_int" || kind == "as_sym_float" || kind == "as_sym_bool") {
    const auto [form, content] = reader_.alternative(value);
    return form == "as_name" ? lookup(reader_.string(content), scope) : argument(value, scope);
  }
  if (value.is_array()) return list_argument(kind, value, scope);
  reader_.unsupported("an argument of kind " + printable(kind, 40), "export the model without it");
}

Arg GraphReader::list_argument(const std::string& kind, const Json& items, const Scope& scope) const {
  Arg::List list;
  const auto each = [&](auto&& convert) {
    list.reserve(items.size());
    for (const Json& item : items) list.push_back(convert(item));
    return Arg(std::move(list));
  };
  if (kind == "as_tensors")
    return each([&](const Json& i) { return lookup(reader_.string(i, "name"), scope); });
  if (kind == "as_ints") return each([&](const Json& i) { return Arg(reader_.integer(i)); });
  if (kind == "as_floats") return each([&](const Json& i) { return Arg(reader_.number(i)); });
  if (kind == "as_bools") return each([&](const Json& i) { return Arg(reader_.boolean(i)); });
  if (kind == "as_strings") return each([&](const Json& i) { return Arg(reader_.string(i)); });
  if (kind == "as_optional_tensors") return each([&](const Json& i) { return argument(i, scope); });
  if (kind == "as_sym_ints" || kind == "as_sym_floats" || kind == "as_sym_bools")
    return each([&](const Json& i) {
      const auto [form, content] = reader_.alternative(i);
      return form == "as_name" ? lookup(reader_.string(content), scope) : argument(i, scope);
    });
  constexpr std::array<std::pair<std::string_view, const char*>, 3> kNested{
      {{"as_nested_tensors", "as_tensors"}, {"as_int_lists", "as_ints"}, {"as_float_lists", "as_floats"}}};
  for (const auto& [outer, inner] : kNested)
    if (kind == outer)
      return each([&](const Json& i) { return list_argument(inner, reader_.list(i), scope); });
  reader_.unsupported("an argument of kind " + printable(kind, 40), "export the model without it");
}

void GraphReader::read_inputs(const Json& graph, Scope& scope) {
  const Json& signature = reader_.member(reader_.member(root_, "graph_module"), "signature");
  const Json& specs = reader_.list(reader_.member(signature, "input_specs"));
  const Json& inputs = reader_.list(reader_.member(graph, "inputs"));
  if (specs.size() != inputs.size()) reader_.fail("the graph's inputs and the signature differ in number");
  for (std::size_t i = 0; i < specs.size(); ++i) {
    reader_.at("input " + std::to_string(i));
    const auto [kind, argument] = reader_.alternative(inputs[i]);
    if (kind == "as_tensor") define(reader_.string(argument, "name"), graph, scope);
    if (kind == "as_sym_int") define(reader_.string(reader_.member(argument, "as_name")), graph, scope);
    read_input_spec(specs[i], inputs[i], scope);
  }
}

void GraphReader::read_input_spec(const Json& spec, const Json& in_graph, Scope& scope) {
  using Kind = graph::Input::Kind;
  const auto [kind, content] = reader_.alternative(spec);
  graph::Input input;
  const auto stored = [&](Kind which, const char* name_key) {
    input.kind = which;
    input.source = reader_.string(content, name_key);
    if (!is_state_name(input.source)) reader_.fail("name " + in_quotes(input.source) + " is not allowed");
    input.value = lookup_value(reader_.string(reader_.member(content, "arg"), "name"), scope);
  };
  if (kind == "parameter") {
    stored(Kind::Parameter, "parameter_name");
  } else if (kind == "buffer") {
    stored(Kind::Buffer, "buffer_name");
    input.persistent = reader_.boolean(content, "persistent");
  } else if (kind == "tensor_constant") {
    stored(Kind::Constant, "tensor_constant_name");
  } else if (kind == "user_input" || kind == "constant_input") {
    const auto [form, inner] = reader_.alternative(in_graph);
    if (form == "as_tensor" || form == "as_sym_int") {
      input.value = lookup_value(reader_.string(inner, form == "as_tensor" ? "name" : "as_name"), scope);
    } else {
      input.constant = argument(in_graph, scope);
      const Json* name = reader_.find(content, "name");
      const std::string wanted =
          name ? reader_.string(*name) : "arg" + std::to_string(program_.inputs.size());
      if (!is_plain_name(wanted)) reader_.fail("input name " + in_quotes(wanted) + " is not allowed");
      input.value = program_.add({.name = fresh(wanted, value_names_), .kind = graph::Value::Kind::None});
    }
  } else {
    reader_.unsupported("an input of kind " + printable(kind, 40), "export the model without custom objects");
  }
  program_.inputs.push_back(std::move(input));
}

void GraphReader::read_outputs(const Json& graph, const Scope& scope) {
  using Kind = graph::Output::Kind;
  const Json& signature = reader_.member(reader_.member(root_, "graph_module"), "signature");
  const Json& specs = reader_.list(reader_.member(signature, "output_specs"));
  const Json& outputs = reader_.list(reader_.member(graph, "outputs"));
  if (specs.size() != outputs.size()) reader_.fail("the graph's outputs and the signature differ in number");
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const auto [kind, content] = reader_.alternative(specs[i]);
    graph::Output output{.value = argument(outputs[i], scope)};
    if (kind == "loss_output") {
      output.kind = Kind::LossOutput;
    } else if (kind == "buffer_mutation" || kind == "parameter_mutation") {
      output.kind = Kind::BufferMutation;
      output.target = reader_.string(content, kind == "buffer_mutation" ? "buffer_name" : "parameter_name");
      if (!program_.find_input(output.target))
        reader_.fail("output " + std::to_string(i) + " changes an unknown buffer");
    } else if (kind == "user_input_mutation") {
      output.kind = Kind::InputMutation;
      output.target = reader_.string(content, "user_input_name");
    } else if (kind != "user_output") {
      reader_.unsupported("an output of kind " + printable(kind, 40), "export the forward pass only");
    }
    program_.outputs.push_back(std::move(output));
  }
}

void GraphReader::read_nodes(const Json& graph, Scope& scope, Autocast autocast) {
  for (const Json& node : reader_.list(reader_.member(graph, "nodes")))
    read_node(node, graph, scope, autocast);
}

void GraphReader::read_node(const Json& node, const Json& graph, Scope& scope, Autocast autocast) {
  const Json* name = reader_.find(node, "name");
  const std::string& target = reader_.string(node, "target");
  reader_.at("node " + (name ? in_quotes(reader_.string(*name)) : "without name") + " (" +
             printable(target, 120) + ")");
  if (target.starts_with(kHigherOrder))
    inline_graph(node, target.substr(kHigherOrder.size()), scope, autocast);
  else
    read_op(node, target.starts_with(kOpPrefix) ? target.substr(kOpPrefix.size()) : target, graph, scope,
            autocast);
}

void GraphReader::read_op(const Json& node, const std::string& target, const Json& graph, Scope& scope,
                          Autocast autocast) {
  graph::Op op{.target = target};
  if (target.empty() || target.size() > 256 || has_control_characters(target))
    reader_.fail("op name is not allowed");
  for (const Json& input : reader_.list(reader_.member(node, "inputs"))) {
    const Json* kind = reader_.find(input, "kind");
    op.args.push_back({reader_.string(input, "name"), argument(reader_.member(input, "arg"), scope),
                       kind && reader_.integer(*kind) == static_cast<std::int64_t>(ArgumentKind::Keyword)});
  }
  if (const Json* metadata = reader_.find(node, "metadata"))
    for (const auto& [key, text] : reader_.object(*metadata).items()) op.metadata[key] = reader_.string(text);
  if (const auto stack = op.metadata.find("nn_module_stack"); stack != op.metadata.end())
    op.module = module_path(stack->second);
  apply_autocast(op, node, graph, autocast);
  read_results(node, graph, scope, op);
  const Json* name = reader_.find(node, "name");
  const std::string wanted = name                 ? reader_.string(*name)
                             : op.outputs.empty() ? "op_" + std::to_string(program_.ops.size())
                                                  : program_[op.outputs[0]].name;
  if (!is_plain_name(wanted)) reader_.fail("node name " + in_quotes(wanted) + " is not allowed");
  op.name = fresh(wanted, op_names_);
  program_.ops.push_back(std::move(op));
}

void GraphReader::read_results(const Json& node, const Json& graph, Scope& scope, graph::Op& op) {
  const Json& outputs = reader_.list(reader_.member(node, "outputs"));
  for (const Json& output : outputs) {
    const auto [kind, value] = reader_.alternative(output);
    if (kind == "as_tensor") {
      op.outputs.push_back(define(reader_.string(value, "name"), graph, scope));
    } else if (kind == "as_tensors") {
      for (const Json& item : reader_.list(value))
        op.outputs.push_back(define(reader_.string(item, "name"), graph, scope));
    } else if (kind == "as_sym_int" || kind == "as_sym_bool" || kind == "as_sym_float") {
      op.outputs.push_back(define(reader_.string(value, "as_name"), graph, scope));
    } else if (kind == "as_none") {
      if (outputs.size() > 1)  // holds its place among the results
        op.outputs.push_back(
            program_.add({.name = fresh("none", value_names_), .kind = graph::Value::Kind::None}));
    } else {
      reader_.unsupported("a result of kind " + printable(kind, 40), "export the model without this op");
    }
  }
}

void GraphReader::carry_rest() {
  const Json& module = reader_.member(root_, "graph_module");
  for (const char* key : {"opset_version", "schema_version", "verifiers", "torch_version", "guards_code"})
    if (const Json* part = reader_.find(root_, key)) program_.carried[key] = part->dump();
  for (const char* key : {"module_call_graph", "metadata", "treespec_namedtuple_fields"})
    if (const Json* part = reader_.find(module, key)) program_.carried[key] = part->dump();
  for (const Json& entry : reader_.list(reader_.member(module, "module_call_graph"))) {
    const Json* signature = reader_.find(entry, "signature");
    if (!reader_.string(entry, "fqn").empty() || !signature) continue;
    program_.call.in_spec = reader_.string(*signature, "in_spec");
    program_.call.out_spec = reader_.string(*signature, "out_spec");
    if (const Json* names = reader_.find(*signature, "forward_arg_names"))
      for (const Json& name : reader_.list(*names))
        program_.call.forward_arg_names.push_back(reader_.string(name));
  }
}

}  // namespace pollard::models::io::pt2
