// SPDX-License-Identifier: Apache-2.0
#include "kernels/op_call.h"

#include <ATen/ScalarOps.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>

#include "graph/error.h"
#include "kernels/allowed_ops.h"
#include "kernels/executor.h"
#include "kernels/scalar_ops.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::ValueId;

std::size_t index(ValueId id) { return static_cast<std::size_t>(id.index); }

c10::OperatorHandle find_operator(const graph::Op& op) {
  const OpName name = parse_op_name(op.target);
  if (auto found = c10::Dispatcher::singleton().findSchema({name.qualified(), name.overload})) return *found;
  throw UserError({.code = "E0410",
                   .exit = Exit::Unsupported,
                   .subject = op.target,
                   .message = "this LibTorch has no such op",
                   .where = "node '" + op.name + "'",
                   .help = "export the model again with a torch version close to " TORCH_VERSION});
}

/// Python lets a number stand for a tensor argument (x * 2.5); it must not raise the result's type.
at::Tensor wrapped_number(const c10::IValue& number) {
  return at::native::wrapped_scalar_tensor(number.toScalar());
}

at::Layout to_layout(const graph::Layout& layout) {
  if (layout.name == "strided") return at::kStrided;
  throw std::domain_error("layout '" + layout.name + "' is not supported");
}

at::MemoryFormat to_memory_format(const graph::MemoryFormat& format) {
  static const std::map<std::string_view, at::MemoryFormat> kFormats{
      {"contiguous", at::MemoryFormat::Contiguous},
      {"preserve", at::MemoryFormat::Preserve},
      {"channels_last", at::MemoryFormat::ChannelsLast},
      {"channels_last_3d", at::MemoryFormat::ChannelsLast3d}};
  const auto found = kFormats.find(format.name);
  if (found == kFormats.end()) throw std::domain_error("memory format '" + format.name + "' is unknown");
  return found->second;
}

at::Device to_device(const graph::Device& device) {
  at::Device parsed(device.type);
  if (device.index) parsed.set_index(static_cast<c10::DeviceIndex>(*device.index));
  return parsed;
}

bool is_floating_type(const c10::IValue& dtype) {
  return dtype.isInt() && at::isFloatingType(static_cast<at::ScalarType>(dtype.toInt()));
}

/// The element type of an optional, or the type itself.
const c10::Type& unwrap(const c10::Type& type) {
  return type.kind() == c10::TypeKind::OptionalType ? *type.castRaw<c10::OptionalType>()->getElementType()
                                                    : type;
}

/// Normalisation by the batch in training and evaluation alike, as weight standardisation writes it.
bool lacks_running_statistics(const graph::Op& op) {
  return op.base_name().ends_with("batch_norm") && !op.tensor("running_mean");
}

/// LibTorch reads initial states (an LSTM has two) and the weights of recurrent layers without counting them.
bool lacks_states_or_weights(const graph::Op& op) {
  if (op.base_name().starts_with("lstm") && op.tensors("hx").size() != 2) return true;
  if (!op.find("num_layers")) return false;
  const std::size_t per = op.bool_or("has_biases", true) ? 4 : 2;
  const std::size_t directions = op.bool_or("bidirectional", false) ? 2 : 1;
  const auto layers = static_cast<std::size_t>(std::max<std::int64_t>(op.int_or("num_layers", 1), 0));
  const std::size_t weights = op.tensors("params").size();
  return layers == 0 || layers > weights ||
         (weights != layers * directions * per &&
          weights != layers * directions * (per + 1));  // with projections
}

bool is_list_of_values(const Arg& arg) { return arg.as<Arg::List>() && !graph::values_in(arg).empty(); }

}  // namespace

OpCall::OpCall(const graph::Op& op, const graph::Program& program) : op_(&op) {
  require_allowed(op);
  if (is_scalar_op(op.target)) {
    bind_scalar_op();
    return;
  }
  handle_ = find_operator(op);
  try {
    bind_schema();
    if (lacks_states_or_weights(op)) refuse("it has other numbers of states, weights and layers");
  } catch (const std::domain_error& error) {
    refuse(error.what());
  }
  find_rewritten(program);
}

void OpCall::bind_scalar_op() {
  for (const graph::NamedArg& named : op_->args) {
    const auto* list = named.arg.as<Arg::List>();
    for (const Arg& arg : list ? *list : Arg::List{named.arg}) {
      constants_.emplace_back();
      const Element bound = element(*c10::NumberType::get(), arg);
      if (const auto* value = std::get_if<ValueId>(&bound))
        singles_.push_back({constants_.size() - 1, *value, false, false});
      else
        constants_.back() = std::get<c10::IValue>(bound);
    }
  }
}

void OpCall::bind_schema() {
  const auto& arguments = handle_->schema().arguments();
  for (const graph::NamedArg& named : op_->args)
    if (std::none_of(arguments.begin(), arguments.end(),
                     [&](const auto& a) { return a.name() == named.name; }))
      refuse("it has no argument '" + named.name + "'");
  constants_.resize(arguments.size());
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (const Arg* arg = op_->find(arguments[i].name()))
      bind(i, arguments[i], *arg);
    else if (arguments[i].default_value())
      constants_[i] = *arguments[i].default_value();
    else
      refuse("argument '" + arguments[i].name() + "' is missing");
  }
}

void OpCall::refuse(const std::string& why) const {
  throw UserError({.code = "E0412",
                   .exit = Exit::Unsupported,
                   .subject = op_->target,
                   .message = "the op cannot be called as the file says: " + why,
                   .where = "node '" + op_->name + "'"});
}

void OpCall::bind(std::size_t position, const c10::Argument& argument, const Arg& arg) {
  const c10::Type& type = unwrap(*argument.type());
  if (arg.is_none()) {
    if (type.kind() == c10::TypeKind::TensorType && argument.type()->kind() == c10::TypeKind::TensorType)
      constants_[position] = at::Tensor();
    else if (argument.type()->kind() != c10::TypeKind::OptionalType)
      refuse("argument '" + argument.name() + "' must not be None");
    return;
  }
  if (type.kind() == c10::TypeKind::ListType) {
    bind_list(position, type.expectRef<c10::ListType>(), argument.N(), arg);
    return;
  }
  const Element bound = element(type, arg);
  if (const auto* value = std::get_if<ValueId>(&bound)) {
    singles_.push_back(
        {position, *value, type.kind() == c10::TypeKind::TensorType,
         type.kind() == c10::TypeKind::FloatType || type.kind() == c10::TypeKind::SymFloatType});
    return;
  }
  constants_[position] = std::get<c10::IValue>(bound);
}

void OpCall::bind_list(std::size_t position, const c10::ListType& type,
                       std::optional<std::int32_t> fixed_length, const Arg& arg) {
  const c10::Type& item = unwrap(*type.getElementType());
  ListSlot list{position, ListKind::Ints, {}};
  switch (item.kind()) {
    case c10::TypeKind::TensorType:
      list.kind = type.getElementType()->kind() == c10::TypeKind::OptionalType ? ListKind::OptionalTensors
                                                                               : ListKind::Tensors;
      break;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: break;
    case c10::TypeKind::FloatType: list.kind = ListKind::Floats; break;
    case c10::TypeKind::NumberType: list.kind = ListKind::Scalars; break;
    case c10::TypeKind::BoolType: {
      c10::List<bool> flags;
      const auto* items = arg.as<Arg::List>();
      for (const Arg& flag : items ? *items : Arg::List{arg}) flags.push_back(literal(item, flag).toBool());
      constants_[position] = flags;
      return;
    }
    default: refuse("lists of " + item.str() + " are not supported");
  }
  if (const auto* items = arg.as<Arg::List>())
    for (const Arg& entry : *items) list.elements.push_back(element(item, entry));
  else  // one number stands for all dimensions: int[2] stride=1
    list.elements.assign(static_cast<std::size_t>(std::max(fixed_length.value_or(1), 1)), element(item, arg));
  if (is_list_of_values(arg) || arg.as<ValueId>() || item.kind() == c10::TypeKind::TensorType)
    lists_.push_back(std::move(list));
  else
    constants_[position] = make_list(list, {});
}

OpCall::Element OpCall::element(const c10::Type& type, const Arg& arg) const {
  if (const auto* value = arg.as<ValueId>()) return *value;
  return literal(type, arg);
}

c10::IValue OpCall::literal(const c10::Type& type, const Arg& arg) const {
  const auto* number = arg.as<std::int64_t>();
  const auto* real = arg.as<double>();
  const auto* flag = arg.as<bool>();
  switch (type.kind()) {
    case c10::TypeKind::TensorType:
      if (arg.is_none()) return {};
      if (number || real || flag) return wrapped_number(literal(*c10::NumberType::get(), arg));
      break;
    case c10::TypeKind::NumberType:
      if (number) return *number;
      if (real) return *real;
      if (flag) return *flag;
      break;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      if (number) return *number;
      if (flag) return std::int64_t{*flag};
      if (const auto* dtype = arg.as<graph::DType>())
        return static_cast<std::int64_t>(to_scalar_type(*dtype));
      if (const auto* layout = arg.as<graph::Layout>()) return static_cast<std::int64_t>(to_layout(*layout));
      if (const auto* format = arg.as<graph::MemoryFormat>())
        return static_cast<std::int64_t>(to_memory_format(*format));
      break;
    case c10::TypeKind::FloatType:
    case c10::TypeKind::SymFloatType:
      if (real) return *real;
      if (number) return static_cast<double>(*number);
      break;
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType:
      if (flag) return *flag;
      if (number) return *number != 0;
      break;
    case c10::TypeKind::StringType:
      if (const auto* text = arg.as<std::string>()) return *text;
      break;
    case c10::TypeKind::DeviceObjType:
      if (const auto* device = arg.as<graph::Device>()) return to_device(*device);
      break;
    default: break;
  }
  refuse("an argument does not fit the type " + type.str());
}

void OpCall::find_rewritten(const graph::Program& program) {
  const auto& arguments = handle_->schema().arguments();
  const bool makes_from_nothing =
      std::none_of(singles_.begin(), singles_.end(), [](const SingleSlot& s) { return s.tensor; }) &&
      std::none_of(lists_.begin(), lists_.end(),
                   [](const ListSlot& l) { return l.kind == ListKind::Tensors; });
  const bool floating = !op_->outputs.empty() && graph::is_floating(program[op_->outputs.front()].dtype);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const c10::Type& type = unwrap(*arguments[i].real_type());
    const std::string& name = arguments[i].name();
    if (type.kind() == c10::TypeKind::ScalarTypeType) {
      if (is_floating_type(constants_[i])) dtypes_.push_back(i);
      if (constants_[i].isNone() && makes_from_nothing && floating) factory_dtype_ = i;
    } else if (type.kind() == c10::TypeKind::DeviceObjType) {
      if (!constants_[i].isNone() || makes_from_nothing) devices_.push_back(i);
    } else if (type.kind() == c10::TypeKind::BoolType && (name == "train" || name == "training") &&
               !lacks_running_statistics(*op_)) {
      train_flags_.push_back(i);
    } else if (name == "dropout_p") {
      dropout_probability_ = i;
    }
  }
}

c10::IValue OpCall::make_list(const ListSlot& list, const Slots& slots) {
  const auto value = [&](const Element& element) -> const c10::IValue& {
    const auto* id = std::get_if<ValueId>(&element);
    return id ? slots[index(*id)] : std::get<c10::IValue>(element);
  };
  const auto fill = [&](auto out, auto&& convert) {
    out.reserve(list.elements.size());
    for (const Element& element : list.elements) out.push_back(convert(value(element)));
    return c10::IValue(std::move(out));
  };
  switch (list.kind) {
    case ListKind::Tensors: return fill(c10::List<at::Tensor>(), [](const auto& v) { return v.toTensor(); });
    case ListKind::OptionalTensors:
      return fill(c10::List<std::optional<at::Tensor>>(), [](const auto& v) {
        return v.isNone() ? std::optional<at::Tensor>() : std::optional<at::Tensor>(v.toTensor());
      });
    case ListKind::Ints: return fill(c10::List<std::int64_t>(), [](const auto& v) { return v.toInt(); });
    case ListKind::Floats:
      return fill(c10::List<double>(), [](const auto& v) { return v.toScalar().toDouble(); });
    case ListKind::Scalars: return fill(c10::List<at::Scalar>(), [](const auto& v) { return v.toScalar(); });
  }
  POLLARD_CHECK(false, "unknown list kind");
}

Stack OpCall::arguments(const Slots& slots, const CallOptions& options) const {
  Stack stack = constants_;
  for (const SingleSlot& slot : singles_) {
    const c10::IValue& value = slots[index(slot.value)];
    if (slot.tensor && value.isScalar())
      stack[slot.position] = wrapped_number(value);
    else if (slot.floating && value.isInt())
      stack[slot.position] = static_cast<double>(value.toInt());
    else
      stack[slot.position] = value;
  }
  for (const ListSlot& list : lists_) stack[list.position] = make_list(list, slots);
  for (std::size_t i : devices_) stack[i] = options.device;
  for (std::size_t i : train_flags_) stack[i] = options.train;
  if (dropout_probability_ && !options.train) stack[*dropout_probability_] = 0.0;
  if (options.compute_type) {
    for (std::size_t i : dtypes_) stack[i] = static_cast<std::int64_t>(*options.compute_type);
    if (factory_dtype_) stack[*factory_dtype_] = static_cast<std::int64_t>(*options.compute_type);
  }
  return stack;
}

void OpCall::call(Stack& stack) const {
  if (handle_) {
    handle_->callBoxed(stack);
    return;
  }
  c10::IValue result = run_scalar_op(op_->target, stack);
  stack.clear();
  stack.push_back(std::move(result));
}

void OpCall::store(Stack results, Slots& slots, const CallOptions& options) const {
  if (op_->outputs.empty()) return;
  std::size_t next = 0;
  const auto put = [&](c10::IValue value) {
    if (next >= op_->outputs.size()) refuse("it gives more results than the file names");
    if (options.compute_type && value.isTensor() && value.toTensor().defined() &&
        at::isFloatingType(value.toTensor().scalar_type()) &&
        value.toTensor().scalar_type() != *options.compute_type)
      value = value.toTensor().to(*options.compute_type);
    slots[index(op_->outputs[next++])] = std::move(value);
  };
  for (c10::IValue& result : results) {
    if (result.isTensorList())
      for (const at::Tensor& tensor : result.toTensorVector()) put(tensor);
    else
      put(std::move(result));
  }
  if (next != op_->outputs.size()) refuse("it gives fewer results than the file names");
}

bool OpCall::composite() const {
  return handle_ && handle_->hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
}

}  // namespace pollard::kernels
