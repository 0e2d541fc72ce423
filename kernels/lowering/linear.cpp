// SPDX-License-Identifier: Apache-2.0
// Linear layers, also written as addmm or mm on flattened inputs, on weights packed for oneDNN.
#include <ATen/ATen.h>

#include "kernels/lowering/state.h"
#include "kernels/packed_ops.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::Op;
using graph::ValueId;

/// y = x W^T + b with constant W [o, i] and b [o].
struct Linear {
  ValueId x;
  at::Tensor weight;
  std::optional<ValueId> bias;
};

std::optional<Linear> as_linear(const Lowering& l, const Op& op) {
  const auto matrix = [&](const char* name) -> std::optional<at::Tensor> {
    const auto id = op.tensor(name);
    const auto tensor = id ? l.float_constant(*id) : std::nullopt;
    return tensor && tensor->dim() == 2 ? tensor : std::nullopt;
  };
  if (op.target == "aten.linear.default") {
    const auto weight = matrix("weight");
    return weight ? std::optional(Linear{*op.tensor("input"), *weight, op.tensor("bias")}) : std::nullopt;
  }
  if (op.target == "aten.addmm.default") {
    const auto weight = matrix("mat2");
    const bool plain = number(op, "alpha", 1) == 1.0 && number(op, "beta", 1) == 1.0;
    const auto bias = op.tensor("self");
    if (!weight || !plain || !bias || l.value(*bias).shape.size() != 1) return std::nullopt;
    return Linear{*op.tensor("mat1"), weight->t(), bias};
  }
  if (op.target == "aten.mm.default" || op.target == "aten.matmul.default") {
    const auto weight = matrix(op.base_name() == "mm" ? "mat2" : "other");
    return weight ? std::optional(Linear{*op.tensor("self"), weight->t(), {}}) : std::nullopt;
  }
  return std::nullopt;
}

bool fits(const Lowering& l, const Linear& layer) {
  const auto bias = layer.bias ? l.float_constant(*layer.bias) : std::nullopt;
  return l.is_float(layer.x) && !l.value(layer.x).shape.empty() && layer.weight.numel() > 0 &&
         (!layer.bias || (bias && bias->dim() == 1 && bias->size(0) == layer.weight.size(0)));
}

bool reshapes(const Op& op) {
  return op.target == "aten.view.default" || op.target == "aten.reshape.default";
}

/// Whether `flat` [rows, i] is `x` [.., i] with its leading dimensions made one.
bool flattens(const Lowering& l, ValueId x, ValueId flat) {
  const auto &from = l.value(x).shape, &to = l.value(flat).shape;
  return to.size() == 2 && from.size() > 2 && from.back() == to.back() && !to.back().symbolic();
}

/// A layer between two reshapes, [b, t, i] -> [b t, i] -> [b t, o] -> [b, t, o], takes x as it is: returns where the
/// result is back in x's form.
std::size_t unflatten(Lowering& l, std::size_t index, Linear& layer) {
  const auto flat = l.uses().maker(layer.x);
  const auto back = l.uses().only_reader(l.op(index).outputs[0]);
  if (!flat || !back || !reshapes(l.op(*flat)) || !reshapes(l.op(*back))) return index;
  const auto x = l.op(*flat).tensor("self");
  const auto &from = l.value(*x).shape, &to = l.value(l.op(*back).outputs[0]).shape;
  const bool same = from.size() == to.size() && std::equal(from.begin(), from.end() - 1, to.begin());
  if (!flattens(l, *x, layer.x) || !same || to.back().hint != layer.weight.size(0)) return index;
  layer.x = *x;
  return *back;
}

bool pack(Lowering& l, std::size_t index) {
  auto layer = as_linear(l, l.op(index));
  if (!layer || !fits(l, *layer)) return false;
  const std::int64_t rows = l.value(layer->x).numel() / std::max<std::int64_t>(1, layer->weight.size(1));
  if (rows * layer->weight.numel() < l.options.fewest_macs) return false;
  Op& op = l.op(unflatten(l, index, *layer));
  const ValueId packed = l.add_constant(l.value(op.outputs[0]).name + ".packed",
                                        pack_linear_weight(layer->weight.to(l.options.type), rows));
  op.target = "pollard.packed_linear.default";
  op.args = {{"input", layer->x},
             {"weight", packed},
             {"bias", layer->bias ? Arg(*layer->bias) : Arg()},
             {"other", Arg()},
             {"activation", std::string("none")}};
  return true;
}

}  // namespace

std::size_t pack_linears(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) { return pack(l, i); });
}

}  // namespace pollard::kernels
