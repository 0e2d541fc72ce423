// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <limits>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

using graph::DType;

bool keeps(const Translation& t) { return t.op().bool_or("keepdim", false); }

void reduce(Translation& t, const OnnxRule& rule) {
  t.result(t.reduce(rule.type, t.in_as("self", t.output().dtype), t.dims("dim", t.rank("self")), keeps(t)));
}

/// max and min: over everything, or over one dimension with positions.
void extreme(Translation& t, const OnnxRule& rule) {
  if (t.op().outputs.size() == 1) return reduce(t, rule);
  const auto dim = t.dim("dim", t.rank("self"), 0);
  const std::int64_t keep = keeps(t) ? 1 : 0;
  const std::string_view position = rule.type == "ReduceMax" ? "ArgMax" : "ArgMin";
  t.result(t.reduce(rule.type, t.in("self"), {dim}, keeps(t)), 0);
  t.result(t.node(position, {t.in("self")}, {{"axis", dim}, {"keepdims", keep}}), 1);
}

void position(Translation& t, const OnnxRule& rule) {
  const graph::Arg* given = t.op().find("dim");
  const bool flat = !given || given->is_none();
  const Name x = flat ? t.reshape(t.in("self"), {t.list({-1})}) : t.in("self");
  const auto dim = flat ? 0 : t.dim("dim", t.rank("self"), 0);
  t.result(t.node(rule.type, {x}, {{"axis", dim}, {"keepdims", std::int64_t{!flat && keeps(t)}}}));
}

void logical(Translation& t, const OnnxRule& rule) {
  const Name numbers = t.in_as("self", DType::Bool);
  const Name reduced = t.reduce(rule.type, t.cast(numbers, DType::Bool, DType::Int32),
                                t.dims("dim", t.rank("self")), keeps(t));
  t.result(t.cast(reduced, DType::Int32, DType::Bool));
}

/// The mean squared distance from the mean, with its divisor corrected.
void variance(Translation& t, const OnnxRule& rule) {
  const DType type = t.output().dtype;
  const auto rank = t.rank("self");
  const Ints dims = t.dims("dim", rank);
  const double correction = t.op().find("correction")          ? t.real("correction", 1)
                            : t.op().bool_or("unbiased", true) ? 1
                                                               : 0;
  const Name x = t.in("self");
  const Name distance = t.node("Sub", {x, t.reduce("ReduceMean", x, dims, true)});
  Name y = t.reduce("ReduceMean", t.node("Mul", {distance, distance}), dims, keeps(t));
  if (correction != 0) {
    Name count = t.scalar(1, type);
    for (std::int64_t d : dims)
      count = t.node("Mul", {count, t.cast(t.element(t.size(t.id("self"), d)), DType::Int64, type)});
    y = t.node("Mul", {y, t.node("Div", {count, t.node("Sub", {count, t.scalar(correction, type)})})});
  }
  t.result(rule.type == "Sqrt" ? t.node("Sqrt", {y}) : y);
}

void vector_norm(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const double order = t.real("ord", 2);
  const Ints dims = t.dims("dim", t.rank("self"));
  const Name x = t.in_as("self", type);
  if (order == 1 || order == 2)
    return t.result(t.reduce(order == 1 ? "ReduceL1" : "ReduceL2", x, dims, keeps(t)));
  const Name size = t.node("Abs", {x});
  if (std::isinf(order))
    return t.result(t.reduce(order > 0 ? "ReduceMax" : "ReduceMin", size, dims, keeps(t)));
  const Name sum = t.reduce("ReduceSum", t.node("Pow", {size, t.scalar(order, type)}), dims, keeps(t));
  t.result(t.node("Pow", {sum, t.scalar(1 / order, type)}));
}

void cumsum(Translation& t, const OnnxRule&) {
  const Name dim = t.scalar(static_cast<double>(t.dim("dim", t.rank("self"), 0)), DType::Int64);
  t.result(t.node("CumSum", {t.in_as("self", t.output().dtype), dim}));
}

/// Running maximum: out[i] is the largest of x[j], j <= i. Every pair (i, j) is laid out and the later j masked; the
/// positions that PyTorch also gives have no use in any network here and are left out.
void cummax(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const auto rank = t.rank("self"), dim = t.dim("dim", rank, 0);
  const Name length = t.size(t.id("self"), dim);
  const Name never = t.filled(t.join({length, length}), -std::numeric_limits<double>::infinity(), type);
  Name later = t.node("Trilu", {never, t.scalar(1, DType::Int64)}, {{"upper", std::int64_t{1}}});
  Ints behind;
  for (std::int64_t d = dim + 1; d < rank; ++d) behind.push_back(d - dim + 1);
  later = t.unsqueeze(later, behind);  // [i, j, 1, ..]
  const Name pairs = t.node("Add", {t.unsqueeze(t.in("self"), {dim}), later});
  t.result(t.reduce("ReduceMax", pairs, {dim + 1}, false), 0);
}

void logsumexp(Translation& t, const OnnxRule&) {
  t.result(t.reduce("ReduceLogSumExp", t.in("self"), t.dims("dim", t.rank("self")), keeps(t)));
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"all", logical, "ReduceMin"},
    {"amax", reduce, "ReduceMax"},
    {"amin", reduce, "ReduceMin"},
    {"any", logical, "ReduceMax"},
    {"argmax", position, "ArgMax"},
    {"argmin", position, "ArgMin"},
    {"cummax", cummax},
    {"cumsum", cumsum},
    {"linalg_vector_norm", vector_norm},
    {"logsumexp", logsumexp},
    {"max", extreme, "ReduceMax"},
    {"mean", reduce, "ReduceMean"},
    {"min", extreme, "ReduceMin"},
    {"prod", reduce, "ReduceProd"},
    {"std", variance, "Sqrt"},
    {"sum", reduce, "ReduceSum"},
    {"var", variance},
});

}  // namespace

std::span<const OnnxRule> reduction_rules() { return kRules; }

}  // namespace pollard::models::onnx
