// SPDX-License-Identifier: Apache-2.0
#include "models/trace_arguments.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/jit_type.h>

#include <stdexcept>

#include "graph/error.h"
#include "kernels/executor.h"

namespace pollard::models {
namespace {

using c10::TypeKind;
using graph::Arg;

TypeKind kind_of(const c10::Type& type) {
  if (type.kind() == TypeKind::OptionalType)
    return kind_of(*type.castRaw<c10::OptionalType>()->getElementType());
  return type.kind();
}

graph::MemoryFormat to_memory_format(std::int64_t value) {
  switch (static_cast<at::MemoryFormat>(value)) {
    case at::MemoryFormat::Contiguous: return {"contiguous"};
    case at::MemoryFormat::Preserve: return {"preserve"};
    case at::MemoryFormat::ChannelsLast: return {"channels_last"};
    case at::MemoryFormat::ChannelsLast3d: return {"channels_last_3d"};
    default: throw std::domain_error("memory format");
  }
}

Arg from_int(std::int64_t value, TypeKind kind) {
  switch (kind) {
    case TypeKind::ScalarTypeType: return kernels::from_scalar_type(static_cast<at::ScalarType>(value));
    case TypeKind::MemoryFormatType: return to_memory_format(value);
    case TypeKind::LayoutType:
      if (static_cast<at::Layout>(value) != at::kStrided) throw std::domain_error("layout");
      return graph::Layout{"strided"};
    default: return value;
  }
}

graph::Device to_device(at::Device device) {
  graph::Device out;
  if (!device.is_meta()) out.type = c10::DeviceTypeName(device.type(), true);
  if (device.has_index() && !device.is_meta()) out.index = device.index();
  return out;
}

template <class Items>
Arg to_list(const Items& items) {
  Arg::List out;
  for (const auto& item : items) out.emplace_back(static_cast<typename Items::value_type>(item));
  return out;
}

Arg from_list(const c10::IValue& value, const TensorToValue& value_of) {
  if (value.isIntList()) return to_list(value.toIntVector());
  if (value.isDoubleList()) return to_list(value.toDoubleVector());
  Arg::List out;
  if (value.isBoolList()) {
    for (const bool item : value.toBoolList()) out.emplace_back(item);
    return out;
  }
  if (value.isTensorList()) {
    for (const at::Tensor& t : value.toTensorVector()) out.push_back(value_of(t));
    return out;
  }
  if (value.isOptionalTensorList()) {
    for (const auto& t : value.toOptionalTensorVector())
      out.push_back(t && t->defined() ? value_of(*t) : Arg());
    return out;
  }
  throw std::domain_error("a list of " + value.tagKind());
}

std::optional<c10::OperatorHandle> find_schema(const graph::Op& op) {
  const auto first = op.target.find('.'), last = op.target.rfind('.');
  if (first == last || first == std::string::npos) return std::nullopt;
  const std::string overload = op.target.substr(last + 1);
  return c10::Dispatcher::singleton().findSchema(
      {op.target.substr(0, first) + "::" + op.target.substr(first + 1, last - first - 1),
       overload == "default" ? "" : overload});
}

bool is_default(const graph::NamedArg& named, const c10::Argument& argument) {
  if (!argument.default_value()) return false;
  // What LibTorch's C++ functions spell out and None means as well.
  if (const auto* layout = named.arg.as<graph::Layout>(); layout && layout->name == "strided") return true;
  if (const auto* flag = named.arg.as<bool>(); flag && !*flag && named.name == "pin_memory") return true;
  const auto no_tensors = [](const at::Tensor&) -> Arg { throw std::domain_error("a default tensor"); };
  const Arg fallback = to_arg(*argument.default_value(), argument, no_tensors);
  return fallback == named.arg;
}

}  // namespace

Arg to_arg(const c10::IValue& value, const c10::Argument& argument, const TensorToValue& value_of) {
  if (value.isNone()) return {};
  if (value.isTensor()) return value.toTensor().defined() ? value_of(value.toTensor()) : Arg();
  if (value.isBool()) return value.toBool();
  if (value.isInt()) return from_int(value.toInt(), kind_of(*argument.real_type()));
  if (value.isDouble()) return value.toDouble();
  if (value.isString()) return value.toStringRef();
  if (value.isDevice()) return to_device(value.toDevice());
  if (value.isList()) return from_list(value, value_of);
  throw std::domain_error("a value of type " + value.tagKind());
}

void drop_defaults(graph::Op& op) {
  const auto handle = find_schema(op);
  if (!handle) return;
  const auto& arguments = handle->schema().arguments();
  POLLARD_CHECK(arguments.size() == op.args.size(), op.target);
  std::vector<graph::NamedArg> kept;
  bool tail = true;
  for (std::size_t i = arguments.size(); i-- > 0;) {
    graph::NamedArg& named = op.args[i];
    named.keyword = arguments[i].kwarg_only();
    const bool droppable = named.keyword || tail;
    if (droppable && is_default(named, arguments[i])) continue;
    if (!named.keyword) tail = false;
    kept.insert(kept.begin(), std::move(named));
  }
  op.args = std::move(kept);
}

}  // namespace pollard::models
