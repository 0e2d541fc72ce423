// SPDX-License-Identifier: Apache-2.0
// What a packed layer computes on its result while it is still in registers: activations and residual sums.
#include <array>

#include "kernels/aliases.h"
#include "kernels/lowering/state.h"
#include "kernels/packed_ops.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::Op;
using graph::ValueId;

/// The packed layers' name of an op that is an activation and nothing else.
std::optional<std::string> activation_of(const Op& op) {
  const std::string base(op.base_name());
  if (!op.target.starts_with("aten.") || !op.tensor("self")) return std::nullopt;
  if (base == "gelu") {
    const Arg* approximate = op.find("approximate");
    const auto* text = approximate ? approximate->as<std::string>() : nullptr;
    return text && *text == "tanh" ? "gelu_tanh" : "gelu";
  }
  if (base == "hardtanh" || base == "clamp") {
    const auto low = number(op, base == "clamp" ? "min" : "min_val", -1);
    const auto high = number(op, base == "clamp" ? "max" : "max_val", 1);
    return low == 0.0 && high == 6.0 ? std::optional<std::string>("relu6") : std::nullopt;
  }
  return base != "none" && is_packed_activation(base) ? std::optional(base) : std::nullopt;
}

bool is_set(const Op& layer, const char* argument) { return !layer.find(argument)->is_none(); }

/// The packed layer that makes the value for this reader alone, with nothing fused into its result yet.
Op* plain_layer(Lowering& l, ValueId value, std::size_t reader) {
  for (const char* base : {"packed_linear", "packed_conv2d"})
    if (Op* layer = l.made_for(value, reader, base)) return activation(*layer) == "none" ? layer : nullptr;
  return nullptr;
}

/// The op at `index` becomes a copy of the layer before it that gives the op's result.
Op& take_place(Lowering& l, const Op& layer, std::size_t index) {
  Op replacement = layer;
  replacement.outputs = l.op(index).outputs;
  replacement.name = l.op(index).name;
  return l.op(index) = std::move(replacement);
}

bool fuse_activation(Lowering& l, std::size_t index) {
  const auto name = activation_of(l.op(index));
  const auto input = name ? l.op(index).tensor("self") : std::nullopt;
  const Op* layer = input ? plain_layer(l, *input, index) : nullptr;
  if (!layer || is_set(*layer, "other")) return false;
  take_place(l, *layer, index).set("activation", *name);
  return true;
}

bool same_form(const graph::Value& a, const graph::Value& b) {
  return a.dtype == b.dtype && a.shape == b.shape;
}

bool fuse_sum(Lowering& l, std::size_t index) {
  const Op& sum = l.op(index);
  const auto a = sum.tensor("self"), b = sum.tensor("other");
  if (sum.target != "aten.add.Tensor" || !a || !b || *a == *b || number(sum, "alpha", 1) != 1.0) return false;
  if (!l.is_float(*a) || !same_form(l.value(*a), l.value(*b))) return false;
  for (const auto& [own, other] : {std::pair(*a, *b), std::pair(*b, *a)}) {
    const Op* layer = plain_layer(l, own, index);
    if (!layer || is_set(*layer, "other")) continue;
    take_place(l, *layer, index).set("other", other);
    return true;
  }
  return false;
}

/// relu(conv + other): the sum's own activation.
bool fuse_activation_of_sum(Lowering& l, std::size_t index) {
  const auto input = l.op(index).target == "aten.relu.default" ? l.op(index).tensor("self") : std::nullopt;
  const Op* layer = input ? l.made_for(*input, index, "packed_conv2d") : nullptr;
  if (!layer || !is_set(*layer, "other") || activation(*layer) != "none") return false;
  take_place(l, *layer, index).set("activation", std::string("relu"));
  return true;
}

/// Whether nothing reads the value's memory after op `index`.
bool last_read_at(const Lowering& l, AliasSets& views, ValueId value, std::size_t index) {
  return l.uses().maker(value) && !l.uses().is_output(value) && l.uses().readers(value).back() == index &&
         views.alone(value);
}

}  // namespace

std::size_t fuse_activations(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) { return fuse_activation(l, i); });
}

std::size_t fuse_sums(Lowering& l) {
  std::size_t places = at_every_op(l, [&](std::size_t i) { return fuse_sum(l, i); });
  l.settle();
  places += at_every_op(l, [&](std::size_t i) { return fuse_activation_of_sum(l, i); });
  l.settle();
  return places;
}

std::size_t reuse_memory(Lowering& l) {
  AliasSets views = view_sets(l.program);
  return at_every_op(l, [&](std::size_t i) {
    Op& op = l.op(i);
    const std::string_view base = op.base_name();
    const bool layer = base == "packed_conv2d" || base == "packed_pointwise";
    const auto other = layer ? op.tensor("other") : std::nullopt;
    if (!other || other == op.tensor("input") || !last_read_at(l, views, *other, i)) return false;
    op.target = "pollard." + std::string(base) + "_.default";
    return true;
  });
}

}  // namespace pollard::kernels
