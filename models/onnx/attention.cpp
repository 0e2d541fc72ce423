// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <limits>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

using graph::DType;
constexpr double kNever = -std::numeric_limits<double>::infinity();

/// What is added to scores [.., L, S] so that no position sees a later one: -inf above the diagonal.
Name causal_mask(Translation& t, DType type) {
  const auto rank = t.rank("query");
  const Name length = t.size(t.id("query"), rank - 2), seen = t.size(t.id("key"), rank - 2);
  const Name never = t.filled(t.join({length, seen}), kNever, type);
  return t.node("Trilu", {never, t.scalar(1, DType::Int64)}, {{"upper", std::int64_t{1}}});
}

Name additive(Translation& t, graph::ValueId mask, DType type) {
  if (t.value(mask).dtype != DType::Bool) return t.cast(t.in(mask), t.value(mask).dtype, type);
  return t.node("Where", {t.in(mask), t.scalar(0, type), t.scalar(kNever, type)});
}

/// Heads that share a key: [B, k, S, d] -> [B, k g, S, d], each g times in a row.
Name for_every_query(Translation& t, graph::ValueId shared) {
  const auto &q = t.operand("query").shape, &k = t.value(shared).shape;
  const auto rank = static_cast<std::int64_t>(k.size()), head = rank - 3;
  const std::int64_t times = q.at(q.size() - 3).hint / k.at(k.size() - 3).hint;
  if (times == 1) return t.in(shared);
  Names stretch(static_cast<std::size_t>(rank + 1), t.list({1}));
  stretch[static_cast<std::size_t>(head + 1)] = t.list({times});
  const Name wide = t.node("Expand", {t.unsqueeze(t.in(shared), {head + 1}), t.join(stretch)});
  Names sizes = t.sizes(shared, 0, head);
  sizes.push_back(t.list({-1}));
  for (const Name& name : t.sizes(shared, head + 1, rank)) sizes.push_back(name);
  return t.reshape(wide, sizes);
}

/// softmax(q k' scale + mask) v
void attention(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const auto rank = t.rank("key");
  const bool grouped = t.op().bool_or("enable_gqa", false);
  const Name key = grouped ? for_every_query(t, t.id("key")) : t.in("key");
  const Name value = grouped ? for_every_query(t, t.id("value")) : t.in("value");
  Ints order;
  for (std::int64_t d = 0; d < rank - 2; ++d) order.push_back(d);
  order.push_back(rank - 1);
  order.push_back(rank - 2);
  const double width = static_cast<double>(t.operand("query").shape.back().hint);
  const Name query = t.node("Mul", {t.in("query"), t.scalar(t.real("scale", 1 / std::sqrt(width)), type)});
  Name scores = t.node("MatMul", {query, t.transpose(key, order)});
  if (t.op().bool_or("is_causal", false)) scores = t.node("Add", {scores, causal_mask(t, type)});
  if (const auto mask = t.op().tensor("attn_mask"))
    scores = t.node("Add", {scores, additive(t, *mask, type)});
  const Name weights = t.node("Softmax", {scores}, {{"axis", std::int64_t{-1}}});
  t.result(t.node("MatMul", {weights, value}));
}

constexpr auto kRules = std::to_array<OnnxRule>({{"scaled_dot_product_attention", attention}});

}  // namespace

std::span<const OnnxRule> attention_rules() { return kRules; }

}  // namespace pollard::models::onnx
