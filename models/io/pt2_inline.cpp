// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "models/io/pt2_graph_reader.h"
#include "models/io/pt2_schema.h"
#include "models/io/text.h"

// The part of GraphReader that turns sub-graphs into plain ops.
namespace pollard::models::io::pt2 {

using graph::Arg;
using graph::DType;
using graph::ValueId;

namespace {

/// Higher-order ops that compute what their sub-graph computes, whatever mode they set around it.
constexpr std::array<std::string_view, 6> kTransparent{
    "wrap_with_set_grad_enabled", "wrap_with_autocast",        "invoke_subgraph", "wrap",
    "tag_activation_checkpoint",  "wrap_activation_checkpoint"};

bool is_value_kind(const std::string& kind) {
  return kind == "as_tensor" || kind == "as_sym_int" || kind == "as_sym_float" || kind == "as_sym_bool";
}

/// Ops that say themselves which type they make, or must not change it.
bool chooses_type(const graph::Op& op) {
  const std::string_view base = op.base_name();
  return base == "to" || base == "_to_copy" || base == "type_as" || base == "copy_" || base.ends_with('_') ||
         (op.find("dtype") && !op.find("dtype")->is_none());
}

}  // namespace

void GraphReader::inline_graph(const Json& node, const std::string& target, Scope& scope, Autocast autocast) {
  const std::string base = target.substr(0, target.find('.'));
  if (std::find(kTransparent.begin(), kTransparent.end(), base) == kTransparent.end())
    reader_.unsupported(
        "higher-order op " + in_quotes(target) + " is not supported",
        "export the model without control flow that depends on data (torch.cond, map, while_loop)");
  const Json& inputs = reader_.list(reader_.member(node, "inputs"));
  const Json* inner = nullptr;
  std::vector<Arg> given, before;
  for (const Json& input : inputs) {
    const Json& arg = reader_.member(input, "arg");
    const auto [kind, value] = reader_.alternative(arg);
    if (kind == "as_graph" && !inner)
      inner = &reader_.member(value, "graph");
    else if (kind == "as_graph")
      reader_.unsupported("an op with two sub-graphs", "export the model without it");
    else if (!inner)
      before.push_back(argument(arg, scope));
    else if (is_value_kind(kind))
      given.push_back(argument(arg, scope));
  }
  if (!inner) reader_.fail("its sub-graph is missing");
  if (base == "wrap_with_autocast" && before.size() >= 3) {  // device type, dtype, enabled, cache
    const auto* enabled = before[2].as<bool>();
    const auto* dtype = before[1].as<DType>();
    autocast.dtype = !enabled || !*enabled ? DType::Unknown : dtype ? *dtype : DType::BFloat16;
  }
  const Json& parameters = reader_.list(reader_.member(*inner, "inputs"));
  if (parameters.size() != given.size()) reader_.fail("its sub-graph takes another number of arguments");
  Scope inside;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const auto [kind, value] = reader_.alternative(parameters[i]);
    const std::string& name = reader_.string(value, kind == "as_tensor" ? "name" : "as_name");
    if (!inside.emplace(name, given[i]).second)
      reader_.fail("sub-graph argument " + in_quotes(name) + " occurs twice");
  }
  const std::size_t first_value = program_.values.size();
  const bool was_inside = std::exchange(inside_, true);
  read_nodes(*inner, inside, autocast);
  inside_ = was_inside;
  bind_inlined_outputs(node, *inner, inside, scope, first_value);
}

void GraphReader::bind_inlined_outputs(const Json& node, const Json& inner, const Scope& inside, Scope& scope,
                                       std::size_t first_value) {
  std::vector<std::string> names;
  for (const Json& output : reader_.list(reader_.member(node, "outputs"))) {
    const auto [kind, value] = reader_.alternative(output);
    if (kind == "as_tensors")
      for (const Json& item : reader_.list(value)) names.push_back(reader_.string(item, "name"));
    else if (is_value_kind(kind))
      names.push_back(reader_.string(value, kind == "as_tensor" ? "name" : "as_name"));
    else
      names.emplace_back();
  }
  const Json& outputs = reader_.list(reader_.member(inner, "outputs"));
  if (outputs.size() != names.size()) reader_.fail("its sub-graph gives another number of results");
  std::set<std::int32_t> renamed;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Arg result = argument(outputs[i], inside);
    if (names[i].empty()) continue;
    if (!scope.emplace(names[i], result).second)
      reader_.fail("value " + in_quotes(names[i]) + " is defined twice");
    const auto* id = result.as<ValueId>();
    const bool made_here = id && static_cast<std::size_t>(id->index) >= first_value;
    if (!made_here || inside_ || !renamed.insert(id->index).second) continue;
    program_[*id].name = names[i];  // reserved for it from the start
  }
}

void GraphReader::apply_autocast(graph::Op& op, const Json& node, const Json& graph, Autocast autocast) {
  if (autocast.dtype == DType::Unknown || chooses_type(op)) return;
  const Json& outputs = reader_.list(reader_.member(node, "outputs"));
  if (outputs.empty()) return;
  const auto [kind, value] = reader_.alternative(outputs[0]);
  if (kind != "as_tensor" && kind != "as_tensors") return;
  if (kind == "as_tensors" && reader_.list(value).empty()) return;
  const Json& first = kind == "as_tensor" ? value : value[0];
  const DType result = describe(reader_.string(first, "name"), graph).dtype;
  // What autocast did shows in the recorded types: a low-precision result of full-precision operands, or the reverse.
  const DType from = result == autocast.dtype ? DType::Float32 : autocast.dtype;
  if (result != autocast.dtype && result != DType::Float32) return;
  const auto cast = [&](Arg& arg) {
    const auto* id = arg.as<ValueId>();
    if (!id || program_[*id].kind != graph::Value::Kind::Tensor || program_[*id].dtype != from) return;
    graph::Value made = program_[*id];
    made.name = fresh(made.name + "_cast", value_names_);
    made.dtype = result;
    graph::Op to{.target = "aten.to.dtype",
                 .args = {{"self", arg}, {"dtype", result}},
                 .module = op.module,
                 .metadata = op.metadata};
    to.name = fresh(made.name, op_names_);
    to.outputs.push_back(program_.add(std::move(made)));
    arg = to.outputs[0];
    program_.ops.push_back(std::move(to));
  };
  for (graph::NamedArg& named : op.args) {
    cast(named.arg);
    if (auto* list = named.arg.as<Arg::List>())
      for (Arg& item : *list) cast(item);
  }
}

}  // namespace pollard::models::io::pt2
