// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "graph/error.h"
#include "models/io/pickle_machine.h"
#include "models/io/pickle_names.h"
#include "models/io/tensor_limits.h"
#include "models/io/text.h"

/// The opcodes that would make objects in Python: here they make descriptions of tensors, or opaque nodes.
namespace pollard::models::io::pickle {

bool Machine::run_object(std::uint8_t opcode) {
  switch (opcode) {
    case 'c': push_global(); return true;
    case 'Q': persistent_id(); return true;
    case 'R': reduce(); return true;
    case 0x81: reduce(); return true;  // NEWOBJ: a class and its arguments, where REDUCE has a function
    case 'b': build(); return true;
    default: return false;
  }
}

/// ("storage", type, key, device, size): the only persistent id torch.save writes.
void Machine::persistent_id() {
  const NodeId id = pop();
  const auto parts = tree_.items(id);
  const bool good = node(id).kind == Kind::Tuple && parts.size() == 5 &&
                    node(parts[0]).kind == Kind::String && tree_.string(parts[0]) == "storage" &&
                    node(parts[1]).kind == Kind::Global && node(parts[2]).kind == Kind::String;
  if (!good) malformed("a persistent id that is not a storage");
  const std::string_view type = tree_.string(parts[1]);
  const auto dtype = find_storage(type);
  if (!dtype) check_dtype(graph::DType::Unknown, parts[1]);
  const std::int64_t count = integer(parts[4], "a storage size");
  const std::int64_t width = *dtype == graph::DType::Unknown ? 1 : graph::dtype_size(*dtype);
  const auto bytes = checked_mul(count, width);
  if (count < 0 || !bytes) malformed("a storage of " + std::to_string(count) + " elements");
  tree_.storages_.push_back(
      {std::string(tree_.string(parts[2])), *dtype, static_cast<std::uint64_t>(*bytes)});
  push(add({.kind = Kind::Storage, .payload = tree_.storages_.size() - 1}));
}

void Machine::reduce() {
  const NodeId args = pop();
  const NodeId callable = pop();
  if (node(callable).kind != Kind::Global && node(callable).kind != Kind::Opaque)
    malformed("calling what is not a function");
  if (node(args).kind != Kind::Tuple) malformed("calling with what is not a tuple of arguments");
  const Callable known =
      node(callable).kind == Kind::Global ? find_callable(tree_.string(callable)) : Callable::Foreign;
  const auto arguments = tree_.items(args);
  switch (known) {
    case Callable::RebuildTensorV2: return push(rebuild_tensor(arguments, true));
    case Callable::RebuildTensorV3: return push(rebuild_tensor(arguments, false));
    case Callable::RebuildParameter:
    case Callable::Parameter: return push(rebuild_parameter(arguments));
    case Callable::RebuildFromType:
      if (const auto tensor = rebuild_from_type(arguments)) return push(*tensor);
      break;
    case Callable::OrderedDict:
      if (arguments.empty()) return push(add({.kind = Kind::Dict}));
      break;
    case Callable::Foreign: break;
  }
  Node opaque = node(callable);
  opaque.kind = Kind::Opaque;
  push(add(opaque));
}

/// The state of an OrderedDict (a state dict's _metadata) and of foreign objects is of no use here.
void Machine::build() {
  pop();
  const NodeId target = pop();
  if (node(target).kind != Kind::Dict && node(target).kind != Kind::Opaque &&
      node(target).kind != Kind::Tensor)
    malformed("BUILD on what is not an object");
  push(target);
}

std::int64_t Machine::integer(NodeId id, const char* what) const {
  if (node(id).kind != Kind::Int) malformed(std::string(what) + " that is not an integer");
  return tree_.as_int(id);
}

std::vector<std::int64_t> Machine::sizes(NodeId id, const char* what) const {
  if (node(id).kind != Kind::Tuple) malformed(std::string(what) + " that is not a tuple");
  std::vector<std::int64_t> out;
  const auto items = tree_.items(id);
  if (items.size() > kMostDims)
    malformed(std::string(what) + " of rank " + std::to_string(items.size()) + "; at most " +
              std::to_string(kMostDims));
  for (const NodeId item : items) {
    const std::int64_t value = integer(item, what);
    if (value < 0 || value > static_cast<std::int64_t>(kLargestDim))
      malformed(std::string(what) + " with the number " + std::to_string(value));
    out.push_back(value);
  }
  return out;
}

void Machine::check_dtype(graph::DType dtype, NodeId named) const {
  if (dtype != graph::DType::Unknown) return;
  throw UserError({.code = "E0421",
                   .exit = Exit::Unsupported,
                   .subject = subject_,
                   .message = "a tensor of type " + in_quotes(tree_.text(named)) + " cannot be read",
                   .where = "entry " + entry_ + ", byte offset " + std::to_string(opcode_at_),
                   .why = "quantized and device-specific types are not supported",
                   .help = "convert it to a plain type in Python: tensor.dequantize() or tensor.float()"});
}

/// _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]);
/// v3 has the dtype after the hooks, on an untyped storage.
NodeId Machine::rebuild_tensor(std::span<const NodeId> args, bool typed) {
  const std::size_t fewest = typed ? 6 : 7;
  if (args.size() < fewest || args.size() > fewest + 1)
    malformed("a tensor of " + std::to_string(args.size()) + " parts");
  if (node(args[0]).kind != Kind::Storage) malformed("a tensor without a storage");
  const Tree::StorageRef& storage = tree_.storages_[node(args[0]).payload];
  TensorRef tensor{.storage = storage.key,
                   .dtype = storage.dtype,
                   .storage_bytes = storage.bytes,
                   .offset = integer(args[1], "a tensor offset"),
                   .position = opcode_at_};
  if (!typed) {
    const NodeId named = args[6];
    if (node(named).kind != Kind::Global) malformed("a tensor whose dtype is not a name");
    tensor.dtype = find_dtype(tree_.string(named)).value_or(graph::DType::Unknown);
    check_dtype(tensor.dtype, named);
  }
  check_dtype(tensor.dtype, args[0]);
  if (tensor.offset < 0) malformed("a tensor offset of " + std::to_string(tensor.offset));
  tensor.shape = sizes(args[2], "a tensor size");
  tensor.stride = sizes(args[3], "a tensor stride");
  if (tensor.shape.size() != tensor.stride.size()) malformed("a tensor whose size and stride differ in rank");
  tree_.tensors_.push_back(std::move(tensor));
  return add({.kind = Kind::Tensor, .payload = tree_.tensors_.size() - 1});
}

/// (function, type, arguments, attributes): torch.export leaves attributes on sample inputs of dynamic size.
/// nullopt for a tensor subclass, which may hold its numbers in any way.
std::optional<NodeId> Machine::rebuild_from_type(std::span<const NodeId> args) {
  const bool plain = args.size() == 4 && node(args[0]).kind == Kind::Global &&
                     node(args[1]).kind == Kind::Global && tree_.string(args[1]) == "torch\nTensor" &&
                     node(args[2]).kind == Kind::Tuple;
  if (!plain) return std::nullopt;
  const Callable function = find_callable(tree_.string(args[0]));
  if (function != Callable::RebuildTensorV2 && function != Callable::RebuildTensorV3) return std::nullopt;
  return rebuild_tensor(tree_.items(args[2]), function == Callable::RebuildTensorV2);
}

/// (data, requires_grad[, hooks]).
NodeId Machine::rebuild_parameter(std::span<const NodeId> args) {
  if (args.empty() || node(args[0]).kind != Kind::Tensor) malformed("a parameter that is not a tensor");
  return args[0];
}

}  // namespace pollard::models::io::pickle
