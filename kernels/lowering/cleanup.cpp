// SPDX-License-Identifier: Apache-2.0
// Rules that only remove: memory that is shared for no reason, ops that change nothing.
#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <array>

#include "kernels/aliases.h"
#include "kernels/allowed_ops.h"
#include "kernels/lowering/state.h"

namespace pollard::kernels {
namespace {

using graph::Op;
using graph::ValueId;

std::optional<c10::OperatorHandle> find_schema(std::string_view target) {
  const OpName name = parse_op_name(target);
  return c10::Dispatcher::singleton().findSchema({name.qualified(), name.overload});
}

/// "aten.relu.default" of "aten.relu_.default".
std::string functional_target(const Op& op) {
  std::string target = op.target;
  target.erase(target.find('.', 0) + op.base_name().size(), 1);
  return target;
}

/// The tensor an in-place op writes to: its first argument, when that is all it writes.
std::optional<ValueId> written_value(const Op& op) {
  const auto schema = find_schema(op.target);
  if (!schema || op.outputs.size() != 1) return std::nullopt;
  const auto& arguments = schema->schema().arguments();
  for (std::size_t i = 1; i < arguments.size(); ++i)
    if (arguments[i].alias_info() && arguments[i].alias_info()->isWrite()) return std::nullopt;
  return arguments.empty() ? std::nullopt : op.tensor(arguments[0].name());
}

/// Whether the op without the underscore takes the same arguments and gives a result of the same type.
bool has_twin(const graph::Program& program, const Op& op) {
  const auto twin = find_schema(functional_target(op)), self = find_schema(op.target);
  if (!twin) return false;
  const auto &a = twin->schema().arguments(), &b = self->schema().arguments();
  if (!std::ranges::equal(a, b, {}, &c10::Argument::name, &c10::Argument::name)) return false;
  const graph::DType dtype = program[op.outputs[0]].dtype;
  for (const graph::NamedArg& named : op.args) {
    if (named.name == "index") continue;  // positions, whatever they are written with
    for (ValueId id : graph::values_in(named.arg))
      if (program[id].kind != graph::Value::Kind::Tensor || program[id].dtype != dtype) return false;
  }
  return graph::is_floating(dtype);
}

constexpr std::array<std::string_view, 4> kDropouts{"dropout", "feature_dropout", "alpha_dropout",
                                                    "feature_alpha_dropout"};

/// dropout_ writes nothing when nothing is trained.
bool is_dropout_in_place(const Op& op) {
  const std::string_view base = op.base_name();
  return base.ends_with('_') &&
         std::ranges::find(kDropouts, base.substr(0, base.size() - 1)) != kDropouts.end();
}

/// Ops whose first argument is their result when nothing is trained.
bool is_identity(const Lowering& l, const Op& op) {
  static constexpr std::array<std::string_view, 6> kConversions{"to",     "_to_copy", "type_as",
                                                                "expand", "detach",   "alias"};
  if (!op.target.starts_with("aten.") || op.args.empty() || op.outputs.size() != 1) return false;
  if (std::ranges::find(kDropouts, op.base_name()) != kDropouts.end()) return true;
  if (std::ranges::find(kConversions, op.base_name()) == kConversions.end()) return false;
  const auto* from = op.args[0].arg.as<ValueId>();
  if (!from || op.find("memory_format")) return false;
  const graph::Value &a = l.value(*from), &b = l.value(op.outputs[0]);
  return a.kind == b.kind && a.dtype == b.dtype && a.shape == b.shape && a.device == b.device;
}

}  // namespace

std::size_t make_functional(Lowering& l) {
  AliasSets views = view_sets(l.program);
  return at_every_op(l, [&](std::size_t i) {
    Op& op = l.op(i);
    if (!graph::writes(op)) return false;
    if (is_dropout_in_place(op)) {
      op.target = functional_target(op);
      return true;
    }
    const auto target = written_value(op);
    if (target && views.alone(*target) && has_twin(l.program, op)) {
      op.target = functional_target(op);
      graph::replace_uses(l.program, *target, op.outputs[0], i + 1);
      return true;
    }
    if (target) views.join(*target, op.outputs[0]);
    return false;
  });
}

std::size_t drop_identities(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) {
    const Op& op = l.op(i);
    const auto* from = is_identity(l, op) ? op.args[0].arg.as<ValueId>() : nullptr;
    if (!from) return false;
    graph::replace_uses(l.program, op.outputs[0], *from, i + 1);
    return true;
  });
}

}  // namespace pollard::kernels
