// SPDX-License-Identifier: Apache-2.0
// Cascaded group attention as the built-in network writes it in ATen's operators (models/layers/cascaded_attention.h), batch
// norms folded, and as the rule "operators" does, in one call.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "kernels/lowering/state.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::Op;
using graph::ValueId;

/// Some channels of a map.
struct Channels {
  ValueId map;
  std::int64_t first, count;
};

std::int64_t size_of(const Lowering& l, ValueId value, std::size_t dim) {
  return l.value(value).shape.at(dim).hint;
}

/// A part of a map [B, C, H, W] along its channels.
std::optional<Channels> channels_of(Lowering& l, std::optional<ValueId> value) {
  const auto maker = value ? l.uses().maker(*value) : std::nullopt;
  if (!maker || l.value(*value).shape.size() != 4) return std::nullopt;
  const Op& op = l.op(*maker);
  const std::int64_t dim = op.int_or("dim", 0);
  const auto map = op.tensor("self");
  if (!map || (dim != 1 && dim != -3)) return std::nullopt;
  if (op.target == "aten.slice.Tensor") {
    const auto start = number(op, "start", 0), step = number(op, "step", 1);
    if (!start || *start < 0 || step != 1.0) return std::nullopt;
    return Channels{*map, static_cast<std::int64_t>(*start), size_of(l, *value, 1)};
  }
  const std::string_view base = op.base_name();
  if (base != "chunk" && base != "split" && base != "split_with_sizes") return std::nullopt;
  Channels out{*map, 0, size_of(l, *value, 1)};
  for (ValueId part : op.outputs) {
    if (part == *value) return out;
    out.first += size_of(l, part, 1);
  }
  return std::nullopt;
}

/// The map [B, c, H, W] behind its tokens [B, H W, c].
std::optional<ValueId> map_of(Lowering& l, std::optional<ValueId> tokens) {
  const auto flat = transposed_from(l, tokens, 1, 2);
  for (const char* base : {"flatten", "reshape", "view"}) {
    const auto map = argument_of(l, flat, base);
    if (!map || l.value(*map).shape.size() != 4 || l.value(*flat).shape.size() != 3) continue;
    const auto &from = l.value(*map).shape, &to = l.value(*flat).shape;
    return from[0] == to[0] && from[1] == to[1] ? map : std::nullopt;
  }
  return std::nullopt;
}

/// A convolution with stride 1 that keeps the map's size, with constant weights.
struct Convolution {
  ValueId input, weight, bias;
  std::int64_t out, side, groups;
};

std::optional<Convolution> convolution_of(Lowering& l, std::optional<ValueId> value) {
  const Op* op = value ? l.made_by(*value, "conv2d") : nullptr;
  if (!op && value) op = l.made_by(*value, "convolution");
  const auto weight_id = op ? op->tensor("weight") : std::nullopt,
             bias = op ? op->tensor("bias") : std::nullopt;
  const auto weight = weight_id ? l.float_constant(*weight_id) : std::nullopt;
  if (!weight || weight->dim() != 4 || !bias || !l.float_constant(*bias) || op->bool_or("transposed", false))
    return std::nullopt;
  const std::int64_t side = weight->size(2);
  const auto all = [&](const char* name, std::int64_t fallback, std::int64_t wanted) {
    return numbers(*op, name, 2, fallback) == std::vector(2, wanted);
  };
  if (side != weight->size(3) || side % 2 == 0 || !all("stride", 1, 1) || !all("padding", 0, side / 2) ||
      !all("dilation", 1, 1))
    return std::nullopt;
  return Convolution{*op->tensor("input"), *weight_id, *bias, weight->size(0), side, op->int_or("groups", 1)};
}

struct Head {
  ValueId x;  ///< what its projection reads
  Convolution qkv, depthwise;
  ValueId bias;
  double scale;
};

/// q, k and v as parts of one projection, q convolved.
std::optional<Head> head_of(Lowering& l, const Op& attention) {
  const auto mask = attention.tensor("attn_mask");
  const auto bias = mask ? l.float_constant(*mask) : std::nullopt;
  const auto depthwise = convolution_of(l, map_of(l, attention.tensor("query")));
  const auto q = depthwise ? channels_of(l, depthwise->input) : std::nullopt,
             k = channels_of(l, map_of(l, attention.tensor("key"))),
             v = channels_of(l, map_of(l, attention.tensor("value")));
  if (!bias || bias->dim() != 2 || !q || !k || !v || q->map != k->map || k->map != v->map ||
      number(attention, "dropout_p", 0) != 0.0 || attention.bool_or("is_causal", false))
    return std::nullopt;
  const auto qkv = convolution_of(l, q->map);
  const std::int64_t keys = q->count;
  const bool parts = q->first == 0 && k->first == keys && k->count == keys && v->first == 2 * keys;
  if (!qkv || !parts || qkv->side != 1 || qkv->groups != 1 || qkv->out != 2 * keys + v->count ||
      depthwise->groups != keys || depthwise->out != keys)
    return std::nullopt;
  const auto scale = number(attention, "scale", 1 / std::sqrt(static_cast<double>(keys)));
  if (!scale) return std::nullopt;
  return Head{qkv->input, *qkv, *depthwise, *mask, *scale};
}

/// The head that gives the map [B, e, H, W].
std::optional<Head> head_giving(Lowering& l, ValueId map) {
  for (const char* base : {"reshape", "view"}) {
    const auto tokens = transposed_from(l, argument_of(l, map, base), 1, 2);
    const Op* attention = tokens ? l.made_by(*tokens, "scaled_dot_product_attention") : nullptr;
    if (!attention || l.value(*tokens).shape.size() != 3) continue;
    const auto &from = l.value(*tokens).shape, &to = l.value(map).shape;
    if (to.size() != 4 || to[0] != from[0] || to[1] != from[2]) continue;
    return head_of(l, *attention);
  }
  return std::nullopt;
}

/// The head's own channels; `before` is what the head before gave.
std::optional<Channels> own_channels(Lowering& l, const Head& head, std::optional<ValueId> before) {
  if (!before) return channels_of(l, head.x);
  const Op* sum = l.made_by(head.x, "add");
  const auto a = sum ? sum->tensor("self") : std::nullopt, b = sum ? sum->tensor("other") : std::nullopt;
  if (!a || !b || number(*sum, "alpha", 1) != 1.0 || (a != before && b != before)) return std::nullopt;
  return channels_of(l, a == before ? b : a);
}

struct Cascade {
  ValueId input;
  std::vector<Head> heads;
};

/// Heads whose results are joined, each with what the one before gave.
std::optional<Cascade> find_cascade(Lowering& l, const std::vector<ValueId>& joined) {
  std::optional<Cascade> out;
  std::int64_t read = 0;
  for (std::size_t h = 0; h < joined.size(); ++h) {
    const auto head = head_giving(l, joined[h]);
    const auto own =
        head ? own_channels(l, *head, h > 0 ? std::optional(joined[h - 1]) : std::nullopt) : std::nullopt;
    if (!own || own->first != read || (out && (out->input != own->map || out->heads[0].scale != head->scale)))
      return std::nullopt;
    if (!out) out = Cascade{own->map, {}};
    out->heads.push_back(*head);
    read += own->count;
  }
  return out && read == size_of(l, out->input, 1) ? out : std::nullopt;
}

bool fits(const Lowering& l, const Cascade& c) {
  const auto& shape = l.value(c.input).shape;
  if (!l.is_float(c.input) || shape.size() != 4 || shape[2].symbolic() || shape[3].symbolic()) return false;
  const std::int64_t n = shape[2].hint * shape[3].hint;
  return std::ranges::all_of(c.heads, [&](const Head& head) {
    return l.float_constant(head.bias)->sizes() == at::IntArrayRef({n, n});
  });
}

void write(Lowering& l, Op& op, const Cascade& c) {
  std::vector<at::Tensor> biases;
  const auto all = [&](auto of) {
    Arg::List out;
    for (const Head& head : c.heads) out.emplace_back(of(head));
    return out;
  };
  for (const Head& head : c.heads) biases.push_back(*l.float_constant(head.bias));
  const ValueId bias = l.add_constant(l.value(op.outputs[0]).name + ".biases", at::stack(biases));
  op.target = "pollard.cascaded_group_attention.default";
  op.args = {{"input", c.input},
             {"qkv", all([](const Head& h) { return h.qkv.weight; })},
             {"qkv_bias", all([](const Head& h) { return h.qkv.bias; })},
             {"depthwise", all([](const Head& h) { return h.depthwise.weight; })},
             {"depthwise_bias", all([](const Head& h) { return h.depthwise.bias; })},
             {"bias", bias},
             {"scale", c.heads[0].scale}};
}

}  // namespace

std::size_t fuse_cascaded_attention(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) {
    const Op& op = l.op(i);
    const std::int64_t dim = op.int_or("dim", 0);
    if (op.target != "aten.cat.default" || (dim != 1 && dim != -3)) return false;
    const auto found = find_cascade(l, op.tensors("tensors"));
    if (!found || !fits(l, *found)) return false;
    write(l, l.op(i), *found);
    return true;
  });
}

}  // namespace pollard::kernels
