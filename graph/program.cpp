// SPDX-License-Identifier: Apache-2.0
#include "graph/program.h"

#include <array>
#include <cstdio>
#include <set>
#include <utility>

#include "graph/error.h"
#include "graph/saturating.h"

namespace pollard::graph {
namespace {

struct DTypeFacts {
  DType dtype;
  std::string_view name;
  std::int64_t size;
};
constexpr std::array<DTypeFacts, 19> kDTypes{{
    {DType::Unknown, "unknown", 0},    {DType::UInt8, "u8", 1},           {DType::Int8, "i8", 1},
    {DType::Int16, "i16", 2},          {DType::Int32, "i32", 4},          {DType::Int64, "i64", 8},
    {DType::UInt16, "u16", 2},         {DType::UInt32, "u32", 4},         {DType::UInt64, "u64", 8},
    {DType::Float8E4M3, "f8_e4m3", 1}, {DType::Float8E5M2, "f8_e5m2", 1}, {DType::Float16, "f16", 2},
    {DType::BFloat16, "bf16", 2},      {DType::Float32, "f32", 4},        {DType::Float64, "f64", 8},
    {DType::Complex32, "c32", 4},      {DType::Complex64, "c64", 8},      {DType::Complex128, "c128", 16},
    {DType::Bool, "bool", 1},
}};
const DTypeFacts& facts(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)]; }

/// Shortest decimal that reads back as the same double.
std::string format_double(double value) {
  char buffer[32];
  for (int digits = 6; digits <= 17; ++digits) {
    std::snprintf(buffer, sizeof buffer, "%.*g", digits, value);
    if (std::strtod(buffer, nullptr) == value) break;
  }
  return buffer;
}

void collect_values(const Arg& arg, std::vector<ValueId>& out) {
  if (const auto* id = arg.as<ValueId>()) out.push_back(*id);
  if (const auto* list = arg.as<Arg::List>())
    for (const Arg& item : *list) collect_values(item, out);
}

std::string to_string(const Size& size) {
  return size.symbolic() ? size.expr + "=" + std::to_string(size.hint) : std::to_string(size.hint);
}

template <class... Fs>
struct Overload : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overload(Fs...) -> Overload<Fs...>;

}  // namespace

std::string_view to_string(DType dtype) { return facts(dtype).name; }
std::int64_t dtype_size(DType dtype) { return facts(dtype).size; }

std::optional<DType> dtype_from_string(std::string_view name) {
  for (const DTypeFacts& fact : kDTypes)
    if (fact.name == name) return fact.dtype;
  return std::nullopt;
}

bool is_floating(DType dtype) {
  switch (dtype) {
    case DType::Float8E4M3:
    case DType::Float8E5M2:
    case DType::Float16:
    case DType::BFloat16:
    case DType::Float32:
    case DType::Float64: return true;
    default: return false;
  }
}

const Arg* Op::find(std::string_view arg_name) const {
  for (const NamedArg& named : args)
    if (named.name == arg_name) return &named.arg;
  return nullptr;
}

Arg* Op::find(std::string_view arg_name) { return const_cast<Arg*>(std::as_const(*this).find(arg_name)); }

void Op::set(std::string_view arg_name, Arg value, bool keyword) {
  if (Arg* existing = find(arg_name)) {
    *existing = std::move(value);
    return;
  }
  args.push_back({.name = std::string(arg_name), .arg = std::move(value), .keyword = keyword});
}

std::string_view Op::base_name() const {
  std::string_view name = target;
  const auto first = name.find('.');
  if (first == std::string_view::npos) return name;
  name.remove_prefix(first + 1);
  return name.substr(0, name.find('.'));
}

std::int64_t Op::int_or(std::string_view arg_name, std::int64_t fallback) const {
  const Arg* arg = find(arg_name);
  const auto* value = arg ? arg->as<std::int64_t>() : nullptr;
  return value ? *value : fallback;
}

bool Op::bool_or(std::string_view arg_name, bool fallback) const {
  const Arg* arg = find(arg_name);
  const auto* value = arg ? arg->as<bool>() : nullptr;
  return value ? *value : fallback;
}

std::optional<ValueId> Op::tensor(std::string_view arg_name) const {
  const Arg* arg = find(arg_name);
  const auto* id = arg ? arg->as<ValueId>() : nullptr;
  return id ? std::optional(*id) : std::nullopt;
}

std::vector<ValueId> Op::tensors(std::string_view arg_name) const {
  const Arg* arg = find(arg_name);
  return arg ? values_in(*arg) : std::vector<ValueId>{};
}

std::vector<std::int64_t> Value::sizes() const {
  std::vector<std::int64_t> out;
  out.reserve(shape.size());
  for (const Size& size : shape) out.push_back(size.hint);
  return out;
}

std::int64_t Value::numel() const {
  std::int64_t product = 1;
  for (const Size& size : shape) product = times(product, size.hint);
  return product;
}

ValueId Program::add(Value value) {
  values.push_back(std::move(value));
  return {static_cast<std::int32_t>(values.size() - 1)};
}

const Input* Program::find_input(std::string_view source) const {
  for (const Input& input : inputs)
    if (input.kind != Input::Kind::User && input.source == source) return &input;
  return nullptr;
}

std::vector<const Input*> Program::user_inputs() const {
  std::vector<const Input*> out;
  for (const Input& input : inputs)
    if (input.kind == Input::Kind::User) out.push_back(&input);
  return out;
}

std::vector<ValueId> values_in(const Arg& arg) {
  std::vector<ValueId> out;
  collect_values(arg, out);
  return out;
}

void check(const Program& program) {
  std::vector<bool> defined(program.values.size(), false);
  std::set<std::string_view> names;
  const auto define = [&](ValueId id, const std::string& by) {
    POLLARD_CHECK(id.index >= 0 && static_cast<std::size_t>(id.index) < defined.size(), by);
    POLLARD_CHECK(!defined[static_cast<std::size_t>(id.index)],
                  by + " defines " + program[id].name + " again");
    defined[static_cast<std::size_t>(id.index)] = true;
    POLLARD_CHECK(names.insert(program[id].name).second, "two values named " + program[id].name);
  };
  const auto require = [&](const Arg& arg, const std::string& by) {
    for (ValueId id : values_in(arg)) {
      POLLARD_CHECK(id.index >= 0 && static_cast<std::size_t>(id.index) < defined.size(), by);
      POLLARD_CHECK(defined[static_cast<std::size_t>(id.index)],
                    by + " reads " + program[id].name + " before it exists");
    }
  };
  for (const Input& input : program.inputs)
    if (!input.constant) define(input.value, "input " + input.source);
  for (const Op& op : program.ops) {
    for (const NamedArg& named : op.args) require(named.arg, op.name);
    for (ValueId id : op.outputs) define(id, op.name);
  }
  for (const Output& output : program.outputs) require(output.value, "output");
}

std::string to_string(const Arg& arg, const Program& program) {
  return std::visit(
      Overload{
          [](std::monostate) -> std::string { return "None"; },
          [](bool v) -> std::string { return v ? "True" : "False"; },
          [](std::int64_t v) { return std::to_string(v); },
          [](double v) { return format_double(v); },
          [](const std::string& v) { return '"' + v + '"'; },
          [&](ValueId v) { return "%" + program[v].name; },
          [](DType v) { return std::string(to_string(v)); },
          [](const Device& v) { return v.index ? v.type + ":" + std::to_string(*v.index) : v.type; },
          [](const Layout& v) { return v.name; },
          [](const MemoryFormat& v) { return v.name; },
          [&](const Arg::List& list) {
            std::string out = "[";
            for (std::size_t i = 0; i < list.size(); ++i)
              out += (i ? ", " : "") + to_string(list[i], program);
            return out + "]";
          },
      },
      arg.value);
}

std::string to_string(const Value& value) {
  switch (value.kind) {
    case Value::Kind::Int: return "%" + value.name + ":int(" + to_string(value.scalar) + ")";
    case Value::Kind::Float: return "%" + value.name + ":float";
    case Value::Kind::Bool: return "%" + value.name + ":bool";
    case Value::Kind::None: return "%" + value.name + ":none";
    case Value::Kind::Tensor: break;
  }
  std::string out = "%" + value.name + ":" + std::string(to_string(value.dtype)) + "[";
  for (std::size_t i = 0; i < value.shape.size(); ++i) out += (i ? "," : "") + to_string(value.shape[i]);
  return out + "]";
}

std::string to_string(const Program& program) {
  static constexpr std::array<std::string_view, 4> kKinds{"input", "parameter", "buffer", "constant"};
  std::string out;
  for (const Input& input : program.inputs) {
    out += std::string(kKinds[static_cast<std::size_t>(input.kind)]) + " ";
    out += input.constant ? to_string(*input.constant, program) : to_string(program[input.value]);
    if (!input.source.empty()) out += " \"" + input.source + "\"";
    if (!input.tied_to.empty()) out += " tied to \"" + input.tied_to + "\"";
    out += "\n";
  }
  for (const Op& op : program.ops) {
    for (std::size_t i = 0; i < op.outputs.size(); ++i)
      out += (i ? ", " : "") + to_string(program[op.outputs[i]]);
    out += " = " + op.target + "(";
    for (std::size_t i = 0; i < op.args.size(); ++i)
      out += (i ? ", " : "") + op.args[i].name + "=" + to_string(op.args[i].arg, program);
    out += ")\n";
  }
  for (const Output& output : program.outputs) out += "output " + to_string(output.value, program) + "\n";
  return out;
}

}  // namespace pollard::graph
