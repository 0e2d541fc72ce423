// SPDX-License-Identifier: Apache-2.0
// Operators of attention (kernels/attention/) written out in ATen's.
#include <cmath>

#include "kernels/lowering/writer.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::NamedArg;
using graph::Op;
using graph::ValueId;

constexpr std::int64_t kLast = -1;

ValueId binary(Writer& w, const char* target, ValueId a, Arg b, Shape shape) {
  return w.emit(target, {{"self", a}, {"other", std::move(b)}}, std::move(shape));
}

ValueId transposed(Writer& w, ValueId x, std::size_t a, std::size_t b) {
  Shape shape = w.shape(x);
  std::swap(shape[a], shape[b]);
  return w.emit("aten.transpose.int",
                {{"self", x}, {"dim0", static_cast<std::int64_t>(a)}, {"dim1", static_cast<std::int64_t>(b)}},
                std::move(shape));
}

ValueId reshaped(Writer& w, ValueId x, std::vector<Arg> sizes, Shape shape) {
  return w.emit("aten.reshape.default", {{"self", x}, {"shape", list(std::move(sizes))}}, std::move(shape));
}

// Focused linear attention -------------------------------------------------------------------------------------

ValueId length(Writer& w, ValueId x) {
  Shape shape = w.shape(x);
  shape.back() = fixed(1);
  return w.emit("aten.linalg_vector_norm.default",
                {{"self", x}, {"ord", std::int64_t{2}}, {"dim", list({kLast})}, {"keepdim", true}},
                std::move(shape));
}

ValueId focused(Writer& w, const Op& op, const char* operand) {
  const ValueId x = *op.tensor(operand);
  const Shape shape = w.shape(x);
  const ValueId positive =
      binary(w, "aten.add.Tensor", w.emit("aten.relu.default", {{"self", x}}, shape), 1e-6, shape);
  const ValueId a = binary(w, "aten.mul.Tensor", positive, *op.tensor("gain"), shape);
  const ValueId sharp =
      w.emit("aten.pow.Tensor_Scalar", {{"self", a}, {"exponent", op.int_or("factor", 1)}}, shape);
  const ValueId direction = binary(w, "aten.div.Tensor", sharp, length(w, sharp), shape);
  return binary(w, "aten.mul.Tensor", direction, length(w, a), shape);
}

/// [B, N, heads d] to [B, heads, N, d].
ValueId split_heads(Writer& w, ValueId x, std::int64_t heads) {
  const Shape in = w.shape(x);
  const Size each = fixed(in[2].hint / heads);
  return transposed(
      w, reshaped(w, x, {w.size(x, 0), w.size(x, 1), heads, each.hint}, {in[0], in[1], fixed(heads), each}),
      1, 2);
}

/// k^T v over the number of keys: halves of the division where that number is known, so that neither grows.
ValueId mean_product(Writer& w, ValueId k, ValueId v) {
  const Shape keys = w.shape(k), values = w.shape(v), mixed{keys[0], keys[1], keys[3], values[3]};
  if (keys[2].symbolic()) {
    const ValueId sum = binary(w, "aten.matmul.default", transposed(w, k, 2, 3), v, mixed);
    return binary(w, "aten.div.Tensor", sum, w.size(k, 2), mixed);
  }
  const double each = 1 / std::sqrt(static_cast<double>(keys[2].hint));
  const ValueId left = transposed(w, binary(w, "aten.mul.Tensor", k, each, keys), 2, 3);
  return binary(w, "aten.matmul.default", left, binary(w, "aten.mul.Tensor", v, each, values), mixed);
}

// Cascaded group attention -------------------------------------------------------------------------------------

struct CascadedHead {
  ValueId qkv, qkv_bias, depthwise, depthwise_bias;
  std::int64_t key, value, side;
};

CascadedHead cascaded_head(Writer& w, const Op& op, std::size_t h) {
  CascadedHead head{.qkv = op.tensors("qkv")[h],
                    .qkv_bias = op.tensors("qkv_bias")[h],
                    .depthwise = op.tensors("depthwise")[h],
                    .depthwise_bias = op.tensors("depthwise_bias")[h],
                    .key = 0,
                    .value = 0,
                    .side = 0};
  const Shape depthwise = w.shape(head.depthwise);
  head.key = depthwise[0].hint;
  head.side = depthwise[2].hint;
  head.value = w.shape(head.qkv)[0].hint - 2 * head.key;
  return head;
}

ValueId conv2d(Writer& w, ValueId x, ValueId weight, ValueId bias, std::int64_t padding,
               std::int64_t groups) {
  Shape shape = w.shape(x);
  shape[1] = w.shape(weight)[0];
  const auto both = [](std::int64_t n) { return list({n, n}); };
  return w.emit("aten.conv2d.default",
                {{"input", x},
                 {"weight", weight},
                 {"bias", bias},
                 {"stride", both(1)},
                 {"padding", both(padding)},
                 {"dilation", both(1)},
                 {"groups", groups}},
                std::move(shape));
}

ValueId channels(Writer& w, ValueId x, std::int64_t begin, std::int64_t count) {
  Shape shape = w.shape(x);
  shape[1] = fixed(count);
  return w.emit("aten.slice.Tensor",
                {{"self", x}, {"dim", std::int64_t{1}}, {"start", begin}, {"end", begin + count}},
                std::move(shape));
}

/// [B, c, H, W] to [B, H W, c].
ValueId tokens(Writer& w, ValueId x) {
  const Shape in = w.shape(x);
  const std::int64_t positions = in[2].hint * in[3].hint;
  return transposed(
      w, reshaped(w, x, {w.size(x, 0), in[1].hint, positions}, {in[0], in[1], fixed(positions)}), 1, 2);
}

ValueId run_head(Writer& w, const Op& op, ValueId x, std::size_t h) {
  const CascadedHead head = cascaded_head(w, op, h);
  const Shape in = w.shape(x), biases = w.shape(*op.tensor("bias"));
  const ValueId y = conv2d(w, x, head.qkv, head.qkv_bias, 0, 1);
  const ValueId q =
      conv2d(w, channels(w, y, 0, head.key), head.depthwise, head.depthwise_bias, head.side / 2, head.key);
  const ValueId k = channels(w, y, head.key, head.key), v = channels(w, y, 2 * head.key, head.value);
  const ValueId bias = w.emit(
      "aten.select.int",
      {{"self", *op.tensor("bias")}, {"dim", std::int64_t{0}}, {"index", static_cast<std::int64_t>(h)}},
      {biases[1], biases[2]});
  const Size value = fixed(head.value);
  const ValueId mixed = w.emit("aten.scaled_dot_product_attention.default",
                               {{"query", tokens(w, q)},
                                {"key", tokens(w, k)},
                                {"value", tokens(w, v)},
                                {"attn_mask", bias},
                                {"dropout_p", 0.0},
                                {"is_causal", false},
                                {"scale", *op.find("scale")}},
                               {in[0], biases[1], value});
  return reshaped(w, transposed(w, mixed, 1, 2), {w.size(x, 0), head.value, in[2].hint, in[3].hint},
                  {in[0], value, in[2], in[3]});
}

}  // namespace

void write_focused_attention(Writer& w, const Op& op) {
  const std::int64_t heads = op.int_or("heads", 1);
  const ValueId v = *op.tensor("v");
  const ValueId q = split_heads(w, focused(w, op, "q"), heads),
                k = split_heads(w, focused(w, op, "k"), heads), vh = split_heads(w, v, heads);
  const Shape queries = w.shape(q), keys = w.shape(k), values = w.shape(vh);
  const Size one = fixed(1);
  const ValueId mean =
      w.emit("aten.mean.dim", {{"self", k}, {"dim", list({std::int64_t{2}})}, {"keepdim", true}},
             {keys[0], keys[1], one, keys[3]});
  const Shape total_shape{queries[0], queries[1], queries[2], one};
  const ValueId total = binary(w, "aten.matmul.default", q, transposed(w, mean, 2, 3), total_shape);
  const ValueId bottom = binary(w, "aten.add.Tensor", total, 1e-6, total_shape);
  const Shape shape{queries[0], queries[1], queries[2], values[3]};
  const ValueId top = binary(w, "aten.matmul.default", q, mean_product(w, k, vh), shape);
  const ValueId out = transposed(w, binary(w, "aten.div.Tensor", top, bottom, shape), 1, 2);
  w.finish("aten.reshape.default",
           {{"self", out}, {"shape", list({w.size(out, 0), w.size(out, 1), w.shape(v)[2].hint})}});
}

void write_masked_attention(Writer& w, const Op& op) {
  const ValueId q = *op.tensor("query"), v = *op.tensor("value");
  Shape shape = w.shape(q);
  shape.back() = w.shape(v).back();
  std::vector<NamedArg> args{{"query", q}, {"key", *op.tensor("key")}, {"value", v}};
  const auto given = [&](const char* name, Arg otherwise) {
    const Arg* arg = op.find(name);
    args.push_back({name, arg ? *arg : std::move(otherwise)});
  };
  given("attn_mask", Arg());
  args.push_back({"dropout_p", 0.0});
  given("is_causal", false);
  given("scale", Arg());
  const auto gate = op.tensor("gate");
  if (!gate) return w.finish("aten.scaled_dot_product_attention.default", std::move(args));
  const ValueId y = w.emit("aten.scaled_dot_product_attention.default", std::move(args), std::move(shape));
  ValueId each = *gate;
  for (int k = 0; k < 2; ++k) {
    Shape longer = w.shape(each);
    longer.push_back(fixed(1));
    each = w.emit("aten.unsqueeze.default", {{"self", each}, {"dim", kLast}}, std::move(longer));
  }
  w.finish("aten.mul.Tensor", {{"self", y}, {"other", each}});
}

void write_cascaded_attention(Writer& w, const Op& op) {
  const ValueId x = *op.tensor("input");
  std::vector<Arg> given;
  std::int64_t first = 0;
  for (std::size_t h = 0; h < op.tensors("qkv").size(); ++h) {
    const std::int64_t width = w.shape(op.tensors("qkv")[h])[1].hint;
    ValueId own = channels(w, x, first, width);
    if (h > 0) own = binary(w, "aten.add.Tensor", own, given.back(), w.shape(own));
    given.emplace_back(run_head(w, op, own, h));
    first += width;
  }
  w.finish("aten.cat.default", {{"tensors", list(std::move(given))}, {"dim", std::int64_t{1}}});
}

}  // namespace pollard::kernels
