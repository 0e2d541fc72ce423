// SPDX-License-Identifier: Apache-2.0
// Convolutions: batch norms folded into their weights, weights packed for oneDNN, channels innermost.
#include <ATen/ATen.h>

#include <array>
#include <map>

#include "kernels/lowering/state.h"
#include "kernels/packed_ops.h"
#include "kernels/pointwise.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::Op;
using graph::ValueId;

/// gamma / sqrt(var + eps) and beta - mean that, one a channel, in f64.
struct Affine {
  at::Tensor scale, shift;
};

std::optional<Affine> affine_of(const Lowering& l, const Op& norm) {
  const auto constant = [&](const char* name) {
    const auto id = norm.tensor(name);
    return id ? l.constant(*id) : std::nullopt;
  };
  const auto given = [&](const char* name) { return norm.find(name) && !norm.find(name)->is_none(); };
  const auto mean = constant("running_mean"), var = constant("running_var"), weight = constant("weight"),
             bias = constant("bias");
  const auto eps = number(norm, "eps");
  if (!mean || !var || !eps || given("weight") != weight.has_value() || given("bias") != bias.has_value())
    return std::nullopt;
  at::Tensor scale = var->to(at::kDouble).add(*eps).rsqrt();
  if (weight) scale = scale.mul(weight->to(at::kDouble));
  at::Tensor shift = mean->to(at::kDouble).mul(scale).neg();
  if (bias) shift = shift.add(bias->to(at::kDouble));
  return Affine{scale, shift};
}

/// The layer whose output rows a norm can scale, when nothing else reads its output.
Op* scalable(Lowering& l, ValueId input, std::size_t norm) {
  for (const char* base : {"conv1d", "conv2d", "conv3d", "convolution", "linear"})
    if (Op* layer = l.made_for(input, norm, base))
      return layer->bool_or("transposed", false) ? nullptr : layer;
  return nullptr;
}

bool fold(Lowering& l, std::size_t norm_index) {
  Op& norm = l.op(norm_index);
  const auto input = norm.tensor("input");
  Op* layer = input ? scalable(l, *input, norm_index) : nullptr;
  if (!layer || !layer->tensor("weight")) return false;
  const auto weight = l.float_constant(*layer->tensor("weight"));
  const auto bias_id = layer->tensor("bias");
  const auto bias = bias_id ? l.float_constant(*bias_id) : std::nullopt;
  const auto affine = affine_of(l, norm);
  if (!weight || !affine || (bias_id && !bias) || weight->size(0) != affine->scale.size(0)) return false;
  std::vector<std::int64_t> along(static_cast<std::size_t>(weight->dim()), 1);
  along[0] = -1;
  const at::Tensor folded = weight->to(at::kDouble).mul(affine->scale.reshape(along)).to(at::kFloat);
  at::Tensor shift = affine->shift;
  if (bias) shift = shift.add(bias->to(at::kDouble).mul(affine->scale));
  const std::string name = l.value(norm.outputs[0]).name;
  Op replacement = *layer;
  replacement.outputs = {norm.outputs[0]};
  replacement.name = norm.name;
  replacement.set("weight", l.add_constant(name + ".weight", folded));
  replacement.set("bias", l.add_constant(name + ".bias", shift.to(at::kFloat)));
  l.op(norm_index) = std::move(replacement);
  return true;
}

std::optional<ConvSizes> sizes_of(const Op& op) {
  const auto stride = numbers(op, "stride", 2, 1), padding = numbers(op, "padding", 2, 0),
             dilation = numbers(op, "dilation", 2, 1);
  if (!stride || !padding || !dilation || !number(op, "groups", 1)) return std::nullopt;
  return ConvSizes{*stride, *padding, *dilation, op.int_or("groups", 1)};
}

bool pack(Lowering& l, Op& op) {
  const auto input = op.tensor("input"), weight_id = op.tensor("weight");
  const auto weight = weight_id ? l.float_constant(*weight_id) : std::nullopt;
  const auto bias = op.tensor("bias");
  const auto sizes = sizes_of(op);
  if (!input || !weight || !sizes || !l.is_float(*input) || l.value(*input).shape.size() != 4 ||
      weight->dim() != 4 || op.bool_or("transposed", false) || (bias && !l.float_constant(*bias)))
    return false;
  const at::Tensor packed = pack_conv2d_weight(weight->to(l.options.type), *sizes, l.value(*input).sizes());
  const ValueId packed_id = l.add_constant(l.value(op.outputs[0]).name + ".packed", packed);
  op.target = "pollard.packed_conv2d.default";
  op.args = {{"input", *input},
             {"weight", packed_id},
             {"bias", bias ? Arg(*bias) : Arg()},
             {"other", Arg()},
             {"stride", to_arg(sizes->stride)},
             {"padding", to_arg(sizes->padding)},
             {"dilation", to_arg(sizes->dilation)},
             {"groups", sizes->groups},
             {"activation", std::string("none")}};
  return true;
}

/// ATen's max pool, which finds places as well, becomes one that does not.
bool pool_without_places(Lowering& l, Op& op) {
  const auto input = op.tensor("self");
  const auto kernel = numbers(op, "kernel_size", 2, 1);
  const Arg* own = op.find("stride");  // none, or an empty list: windows side by side
  const bool given = own && !own->is_none() && !(own->as<Arg::List>() && own->as<Arg::List>()->empty());
  const auto stride = given ? numbers(op, "stride", 2, 1) : kernel;
  const auto padding = numbers(op, "padding", 2, 0), dilation = numbers(op, "dilation", 2, 1);
  if (!input || !l.is_float(*input) || l.value(*input).shape.size() != 4 || !kernel || !stride || !padding ||
      !dilation || op.bool_or("ceil_mode", false))
    return false;
  op.target = "pollard.max_pool2d.default";
  op.args = {{"input", *input},
             {"kernel_size", to_arg(*kernel)},
             {"stride", to_arg(*stride)},
             {"padding", to_arg(*padding)},
             {"dilation", to_arg(*dilation)}};
  return true;
}

/// Ops whose result has the layout of their (first) map.
bool keeps_layout(const Op& op) {
  static constexpr std::array<std::string_view, 22> kKeeping{"packed_conv2d",
                                                             "packed_conv2d_",
                                                             "max_pool2d",
                                                             "avg_pool2d",
                                                             "adaptive_avg_pool2d",
                                                             "relu",
                                                             "add",
                                                             "mul",
                                                             "sub",
                                                             "div",
                                                             "cat",
                                                             "sigmoid",
                                                             "silu",
                                                             "gelu",
                                                             "hardswish",
                                                             "hardtanh",
                                                             "hardsigmoid",
                                                             "batch_norm",
                                                             "clamp",
                                                             "upsample_nearest2d",
                                                             "leaky_relu",
                                                             "mean"};
  for (std::string_view name : kKeeping)
    if (op.base_name() == name) return true;
  return false;
}

/// The map itself with channels innermost, before op `at`.
ValueId insert_channels_last(Lowering& l, ValueId map, std::size_t at) {
  graph::Value value = l.value(map);
  value.name += "_channels_last";
  value.strides.clear();
  value.stride_exprs.clear();
  const ValueId out = l.program.add(std::move(value));
  Op op{.target = "aten.contiguous.default",
        .args = {{"self", map}, {"memory_format", graph::MemoryFormat{"channels_last"}, true}},
        .outputs = {out},
        .name = l.value(out).name};
  l.program.ops.insert(l.program.ops.begin() + static_cast<std::ptrdiff_t>(at), std::move(op));
  return out;
}

/// Rows and columns of what `op` makes, over all of its maps; as large as in the example.
std::int64_t places_of(const Lowering& l, const Op& op) {
  const auto& shape = l.value(op.outputs[0]).shape;
  return shape[0].hint * shape[2].hint * shape[3].hint;
}

/// A convolution of 1 x 1 windows as pack() and the fusions left it becomes a product of matrices.
bool multiply(Lowering& l, Op& op) {
  const at::Tensor weight = *l.constant(*op.tensor("weight"));
  const auto stride = *numbers(op, "stride", 2, 1), padding = *numbers(op, "padding", 2, 0);
  const std::string given = activation(op);
  const bool one_place = weight.size(2) == 1 && weight.size(3) == 1 && padding[0] == 0 && padding[1] == 0;
  if (!one_place || op.int_or("groups", 1) != 1 || (given != "none" && given != "relu") ||
      !pointwise_pays(places_of(l, op), weight.size(1), weight.size(0)))
    return false;
  const ValueId input = *op.tensor("input");
  const Arg bias = *op.find("bias"), other = *op.find("other");
  const ValueId packed =
      l.add_constant(l.value(op.outputs[0]).name + ".places", pack_pointwise_weight(weight.to_dense()));
  op.target = "pollard.packed_pointwise.default";
  op.args = {{"input", input},         {"weight", packed},          {"bias", bias},
             {"other", other},         {"outputs", weight.size(0)}, {"stride", to_arg(stride)},
             {"relu", given == "relu"}};
  return true;
}

}  // namespace

std::size_t fold_batch_norms(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) {
    const std::string_view base = l.op(i).base_name();
    const bool norm = base == "batch_norm" || base == "_native_batch_norm_legit_no_training";
    // Statistics of the batch, as weight standardisation takes them, are found by what is missing.
    return norm && l.op(i).tensor("running_mean") && fold(l, i);
  });
}

std::size_t pack_convolutions(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) {
    Op& op = l.op(i);
    const bool convolution = op.target == "aten.conv2d.default" || op.target == "aten.convolution.default";
    return convolution && pack(l, op);
  });
}

std::size_t pool_by_channels(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) {
    Op& op = l.op(i);
    return op.target == "aten.max_pool2d.default" && pool_without_places(l, op);
  });
}

std::size_t multiply_places(Lowering& l) {
  return at_every_op(
      l, [&](std::size_t i) { return l.op(i).base_name() == "packed_conv2d" && multiply(l, l.op(i)); });
}

std::size_t lay_out_channels_last(Lowering& l) {
  for (const Op& op : l.program.ops)
    if (op.base_name() == "as_strided") return 0;  // counts on the layout
  std::vector<bool> last(l.program.values.size(), false);
  std::map<ValueId, ValueId> turned;  // a map that several convolutions read is turned once
  std::size_t places = 0;
  for (std::size_t i = 0; i < l.program.ops.size(); ++i) {
    const bool conv = l.op(i).base_name().starts_with("packed_conv2d");
    const auto first = conv ? l.op(i).tensor("input") : std::nullopt;
    if (first && !last[static_cast<std::size_t>(first->index)]) {
      const auto [known, fresh] = turned.try_emplace(*first);
      if (fresh) known->second = insert_channels_last(l, *first, i++);
      const ValueId map = known->second;
      last.resize(l.program.values.size(), false);
      last[static_cast<std::size_t>(map.index)] = true;
      l.op(i).set("input", map);
      ++places;
    }
    Op& op = l.op(i);
    bool from_last = false;
    for (const graph::NamedArg& named : op.args)
      for (ValueId id : graph::values_in(named.arg))
        from_last = from_last || last[static_cast<std::size_t>(id.index)];
    if (conv || (from_last && keeps_layout(op)))
      for (ValueId id : op.outputs) last[static_cast<std::size_t>(id.index)] = true;
    if (op.target == "aten.view.default") {
      op.target = "aten.reshape.default";  // a view may need a copy in the other layout
      op.args[1].name = "shape";
    }
  }
  return places;
}

}  // namespace pollard::kernels
