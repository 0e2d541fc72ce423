// SPDX-License-Identifier: Apache-2.0
// Reading and writing at positions that tensors hold.
#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

using graph::DType;

void embedding(Translation& t, const OnnxRule&) {
  t.result(t.node("Gather", {t.in("weight"), t.in("indices")}));
}

/// Sums or means of runs of rows: run b holds the indices from offsets[b] on. Which run an index is in is how many
/// offsets are not behind it.
void embedding_bag(Translation& t, const OnnxRule&) {
  const auto mode = t.op().int_or("mode", 0);
  if (mode > 1) t.refuse("the maximum of a bag");
  if (t.op().tensor("per_sample_weights") || t.op().bool_or("include_last_offset", false) ||
      t.op().int_or("padding_idx", -1) >= 0)
    t.refuse("bags with weights, with padding or with a last offset");
  const DType type = t.output().dtype;
  const Name count = t.size(t.id("indices"), 0);
  const Name places =
      t.node("Range", {t.scalar(0, DType::Int64), t.element(count), t.scalar(1, DType::Int64)});
  const Name offsets = t.in_as("offsets", DType::Int64);
  const Name behind =
      t.node("GreaterOrEqual", {t.unsqueeze(places, {0}), t.unsqueeze(offsets, {1})});  // [B, n]
  const Name begun = t.cast(behind, DType::Bool, DType::Int64);
  // Offsets grow, so run b is where b has begun and b + 1 has not: the row less the next one.
  const Name next =
      t.node("Pad", {t.slice(begun, 0, t.list({1}), t.list({INT64_MAX})), t.list({0, 0, 1, 0})});
  const Name member = t.cast(t.node("Sub", {begun, next}), DType::Int64, type);
  const Name rows = t.node("Gather", {t.in("weight"), t.in("indices")});
  Name y = t.node("MatMul", {member, rows});
  if (mode == 1) {
    const Name members = t.reduce("ReduceSum", member, {1}, true);
    y = t.node("Div", {y, t.node("Max", {members, t.scalar(1, type)})});
  }
  t.result(y, 0);
}

void index_select(Translation& t, const OnnxRule&) {
  t.result(t.node("Gather", {t.in("self"), t.in("index")}, {{"axis", t.dim("dim", t.rank("self"), 0)}}));
}

void gather(Translation& t, const OnnxRule&) {
  t.result(
      t.node("GatherElements", {t.in("self"), t.in("index")}, {{"axis", t.dim("dim", t.rank("self"), 0)}}));
}

/// What `index` covers of a larger source: scatter reads no more.
Name covered(Translation& t, std::string_view argument) {
  Name source = t.in_as(argument, t.output().dtype);
  for (std::int64_t d = 0; d < t.rank("index"); ++d) {
    const auto at = static_cast<std::size_t>(d);
    if (t.operand(argument).shape[at] == t.operand("index").shape[at]) continue;
    source = t.slice(source, d, t.list({0}), t.size(t.id("index"), d));
  }
  return source;
}

Name scattered(Translation& t, const Name& onto, const Name& index, const Name& updates,
               const std::string& reduction) {
  return t.node("ScatterElements", {onto, index, updates},
                {{"axis", t.dim("dim", t.rank("self"), 0)}, {"reduction", reduction}});
}

void scatter(Translation& t, const OnnxRule& rule) {
  if (t.op().find("value") || t.op().find("reduce")) t.refuse("scattering of a number");
  t.result(scattered(t, t.in("self"), t.in("index"), covered(t, "src"), std::string(rule.type)));
}

/// How ONNX calls a reduction, and what it may start from without changing anything.
struct Reduction {
  std::string name;
  double neutral = 0;
};
Reduction reduction_of(Translation& t) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto* how = t.op().find("reduce")->as<std::string>();
  if (how && (*how == "sum" || *how == "mean")) return {"add", 0};
  if (how && *how == "prod") return {"mul", 1};
  if (how && *how == "amax") return {"max", -kInfinity};
  if (how && *how == "amin") return {"min", kInfinity};
  t.refuse("a reduction that is not a sum, product, mean, largest or smallest");
}

/// Without the tensor itself, positions that something falls on start from the neutral element; others stay.
void scatter_reduce(Translation& t, const OnnxRule&) {
  const Reduction reduction = reduction_of(t);
  const graph::DType type = t.output().dtype;
  const bool alone = !t.op().bool_or("include_self", true),
             mean = *t.op().find("reduce")->as<std::string>() == "mean";
  if ((alone || mean) && !graph::is_floating(type))
    t.refuse("integers without the tensor itself, or a mean of them");
  const Name index = t.in("index");
  Name start = t.in("self"), members;
  if (alone || mean) {
    const Name zeros = t.filled(t.node("Shape", {start}), 0, type),
               ones = t.filled(t.node("Shape", {index}), 1, type);
    members = scattered(t, zeros, index, ones, "add");
    if (alone)
      start = t.node("Where", {t.node("Greater", {members, t.scalar(0, type)}),
                               t.scalar(reduction.neutral, type), start});
  }
  Name out = scattered(t, start, index, covered(t, "src"), reduction.name);
  if (mean) {
    const Name one = t.scalar(1, type);
    out = t.node("Div", {out, t.node(alone ? "Max" : "Add", {members, one})});
  }
  t.result(out);
}

/// index_add: one position a slice, repeated for all its elements.
void index_add(Translation& t, const OnnxRule&) {
  const auto rank = t.rank("self"), dim = t.dim("dim", rank, 0);
  Ints others;
  for (std::int64_t d = 0; d < rank; ++d)
    if (d != dim) others.push_back(d);
  const graph::ValueId source = t.id("source");
  const Name wide = t.node("Expand", {t.unsqueeze(t.in("index"), others), t.join(t.sizes(source, 0, rank))});
  Name updates = t.in("source");
  if (const double alpha = t.real("alpha", 1); alpha != 1)
    updates = t.node("Mul", {updates, t.scalar(alpha, t.output().dtype)});
  t.result(scattered(t, t.in("self"), wide, updates, "add"));
}

/// x[.., i, j, ..]: the indexed dimensions come first, their positions are put side by side, and where they stood
/// together the result's dimensions go back.
void index_by_several(Translation& t, const Ints& at, Names indices, std::int64_t result_rank) {
  const auto rank = t.rank("self");
  Ints order = at;
  for (std::int64_t d = 0; d < rank; ++d)
    if (std::ranges::find(at, d) == at.end()) order.push_back(d);
  // Positions of all dimensions take one common shape by adding zeros of each other's.
  Name sum = indices[0];
  for (std::size_t i = 1; i < indices.size(); ++i) sum = t.node("Add", {sum, indices[i]});
  const Name shape = t.node("Shape", {sum});
  for (Name& index : indices) index = t.unsqueeze(t.node("Expand", {index, shape}), {result_rank});
  const Name positions = t.node("Concat", indices, {{"axis", result_rank}});
  const Name y = t.node("GatherND", {t.transpose(t.in("self"), order), positions});
  const bool together = at.back() - at.front() + 1 == static_cast<std::int64_t>(at.size());
  if (!together || at.front() == 0) return t.result(y);
  Ints back;
  for (std::int64_t d = 0; d < at.front(); ++d) back.push_back(result_rank + d);
  for (std::int64_t d = 0; d < result_rank; ++d) back.push_back(d);
  for (std::int64_t d = at.front(); d < rank - static_cast<std::int64_t>(at.size()); ++d)
    back.push_back(result_rank + d);
  t.result(t.transpose(y, back));
}

/// x[.., mask, ..]: what a mask of one dimension leaves, as many as the data decides.
void choose(Translation& t, const graph::Arg::List& items, std::size_t dim) {
  const auto others =
      std::ranges::count_if(items, [](const graph::Arg& item) { return item.as<graph::ValueId>(); });
  const graph::ValueId mask = *items[dim].as<graph::ValueId>();
  if (others > 1 || t.value(mask).shape.size() != 1) t.refuse("a choice by a mask of several dimensions");
  t.result(t.node("Compress", {t.in("self"), t.in(mask)}, {{"axis", static_cast<std::int64_t>(dim)}}));
}

void index(Translation& t, const OnnxRule&) {
  const auto* items = t.op().find("indices")->as<graph::Arg::List>();
  Ints at;
  Names indices;
  std::int64_t result_rank = 0;
  for (std::size_t i = 0; items && i < items->size(); ++i) {
    const auto* id = (*items)[i].as<graph::ValueId>();
    if (!id) continue;
    if (t.value(*id).dtype == DType::Bool) return choose(t, *items, i);
    at.push_back(static_cast<std::int64_t>(i));
    indices.push_back(t.cast(t.in(*id), t.value(*id).dtype, DType::Int64));
    result_rank = std::max(result_rank, static_cast<std::int64_t>(t.value(*id).shape.size()));
  }
  if (at.size() == 1) return t.result(t.node("Gather", {t.in("self"), indices[0]}, {{"axis", at[0]}}));
  if (at.empty()) t.refuse("no index");
  // GatherND takes no negative positions in every runtime: they are brought into range.
  for (std::size_t i = 0; i < at.size(); ++i)
    indices[i] = t.node("Mod", {indices[i], t.element(t.size(t.id("self"), at[i]))});
  index_by_several(t, at, indices, result_rank);
}

Names sorted(Translation& t, const Name& count, std::int64_t largest) {
  const auto dim = t.dim("dim", t.rank("self"), -1);
  return t.node("TopK", {t.in("self"), count}, 2, {{"axis", dim}, {"largest", largest}});
}

void topk(Translation& t, const OnnxRule&) {
  const Names found = sorted(t, t.size(*t.op().find("k")), t.op().bool_or("largest", true) ? 1 : 0);
  t.result(found[0], 0);
  t.result(found[1], 1);
}

void sort(Translation& t, const OnnxRule& rule) {
  const Name all = t.size(t.id("self"), t.dim("dim", t.rank("self"), -1));
  const Names found = sorted(t, all, t.op().bool_or("descending", false) ? 1 : 0);
  if (rule.type == "positions") return t.result(found[1]);
  t.result(found[0], 0);
  t.result(found[1], 1);
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"argsort", sort, "positions"},
    {"embedding", embedding},
    {"embedding_bag", embedding_bag},
    {"gather", gather},
    {"index", index},
    {"index_add", index_add},
    {"index_select", index_select},
    {"scatter", scatter, "none"},
    {"scatter_add", scatter, "add"},
    {"scatter_reduce", scatter_reduce, {}, 18},
    {"sort", sort, "both"},
    {"topk", topk},
});

}  // namespace

std::span<const OnnxRule> indexing_rules() { return kRules; }

}  // namespace pollard::models::onnx
