// SPDX-License-Identifier: Apache-2.0
// Views: the same elements under other dimensions.
#include <algorithm>
#include <array>
#include <numeric>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

Ints counting(std::int64_t rank) {
  Ints order(static_cast<std::size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

void view(Translation& t, const OnnxRule&) {
  const graph::Arg* shape = t.op().find("size");
  if (!shape) shape = t.op().find("shape");
  if (!shape) t.refuse("a view as another element type");
  t.result(t.reshape(t.in("self"), t.sizes(*shape)));
}

void reshape_as(Translation& t, const OnnxRule&) {
  t.result(t.reshape(t.in("self"), t.sizes(t.id("other"), 0, t.rank("other"))));
}

/// -1 keeps a length, and so does 1 in ONNX's Expand.
void expand(Translation& t, const OnnxRule&) {
  const graph::Arg* size = t.op().find("size");
  Names sizes = size ? t.sizes(*size) : t.sizes(t.id("other"), 0, t.rank("other"));
  const Name keep = t.list({-1});
  for (Name& name : sizes)
    if (name == keep) name = t.list({1});
  t.result(t.node("Expand", {t.in("self"), t.join(sizes)}));
}

void permute(Translation& t, const OnnxRule&) {
  t.result(t.transpose(t.in("self"), t.dims("dims", t.rank("self"))));
}

void transpose(Translation& t, const OnnxRule&) {
  const auto rank = t.rank("self");
  Ints order = counting(rank);
  std::swap(order[static_cast<std::size_t>(t.dim("dim0", rank, 0))],
            order[static_cast<std::size_t>(t.dim("dim1", rank, 1))]);
  t.result(t.transpose(t.in("self"), order));
}

void t_(Translation& t, const OnnxRule&) {
  Ints order = counting(t.rank("self"));
  std::ranges::reverse(order);
  t.result(t.transpose(t.in("self"), order));
}

void unsqueeze(Translation& t, const OnnxRule&) {
  t.result(t.unsqueeze(t.in("self"), {t.dim("dim", t.rank("self") + 1, 0)}));
}

/// Only dimensions of length 1 go; the rest of those named stay.
void squeeze(Translation& t, const OnnxRule&) {
  Ints gone;
  for (std::int64_t d : t.dims("dim", t.rank("self"))) {
    const graph::Size& length = t.operand("self").shape[static_cast<std::size_t>(d)];
    if (length.hint == 1 && !length.symbolic()) gone.push_back(d);
  }
  t.result(t.squeeze(t.in("self"), gone));
}

void flatten(Translation& t, const OnnxRule&) {
  const auto rank = t.rank("self");
  if (rank == 0) return t.result(t.reshape(t.in("self"), {t.list({1})}));
  const auto first = t.dim("start_dim", rank, 0), last = t.dim("end_dim", rank, -1);
  Names sizes = t.sizes(t.id("self"), 0, first);
  sizes.push_back(t.list({-1}));
  for (const Name& name : t.sizes(t.id("self"), last + 1, rank)) sizes.push_back(name);
  t.result(t.reshape(t.in("self"), sizes));
}

void unflatten(Translation& t, const OnnxRule&) {
  const auto rank = t.rank("self"), dim = t.dim("dim", rank, 0);
  Names sizes = t.sizes(t.id("self"), 0, dim);
  for (const Name& name : t.sizes(*t.op().find("sizes"))) sizes.push_back(name);
  for (const Name& name : t.sizes(t.id("self"), dim + 1, rank)) sizes.push_back(name);
  t.result(t.reshape(t.in("self"), sizes));
}

/// [.., n] to the diagonal of [.., n, n]
void diag_embed(Translation& t, const OnnxRule&) {
  const auto rank = t.rank("self");
  if (t.op().int_or("offset", 0) != 0 || t.dim("dim1", rank + 1, -2) != rank - 1 ||
      t.dim("dim2", rank + 1, -1) != rank)
    t.refuse("a diagonal off the last two dimensions");
  const Name n = t.size(t.id("self"), rank - 1);
  const Name square = t.filled(t.join({n, n}), 1, t.output().dtype);
  t.result(t.node("Mul", {t.unsqueeze(t.in("self"), {rank}), t.node("EyeLike", {square})}));
}

void triangle(Translation& t, const OnnxRule& rule) {
  const std::int64_t upper = rule.type == "upper" ? 1 : 0;
  // Trilu has no booleans in every runtime.
  const graph::DType type = t.output().dtype,
                     through = type == graph::DType::Bool ? graph::DType::Int64 : type;
  const Name diagonal = t.scalar(static_cast<double>(t.op().int_or("diagonal", 0)), graph::DType::Int64);
  const Name cut = t.node("Trilu", {t.in_as("self", through), diagonal}, {{"upper", upper}});
  t.result(t.cast(cut, through, type));
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"_unsafe_view", view},
    {"diag_embed", diag_embed},
    {"expand", expand},
    {"expand_as", expand},
    {"flatten", flatten},
    {"permute", permute},
    {"reshape", view},
    {"reshape_as", reshape_as},
    {"squeeze", squeeze},
    {"t", t_},
    {"transpose", transpose},
    {"tril", triangle, "lower"},
    {"triu", triangle, "upper"},
    {"unflatten", unflatten},
    {"unsqueeze", unsqueeze},
    {"view", view},
    {"view_as", reshape_as},
});

}  // namespace

std::span<const OnnxRule> shape_rules() { return kRules; }

}  // namespace pollard::models::onnx
