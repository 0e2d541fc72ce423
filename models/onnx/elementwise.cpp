// SPDX-License-Identifier: Apache-2.0
// Ops that are one ONNX node, element by element, and ops that change nothing.
#include <array>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

void unary(Translation& t, const OnnxRule& rule) {
  // sqrt of integers gives floats; not of floats gives booleans and takes them.
  const graph::Value& x = t.operand("self");
  const bool logical = rule.type == "Not";
  const bool tests = rule.type == "IsNaN" || rule.type == "IsInf";
  const graph::DType in = logical ? graph::DType::Bool : tests ? x.dtype : t.output().dtype;
  t.result(t.node(rule.type, {t.in_as("self", in)}));
}

void identity(Translation& t, const OnnxRule&) { t.result(t.in_as("self", t.output().dtype)); }

/// to(device), to(dtype), _to_copy: whatever else they say, an element type is all that arrives.
void convert(Translation& t, const OnnxRule&) { t.result(t.in_as("self", t.output().dtype)); }

void is_finite(Translation& t, const OnnxRule&) {
  const auto x = t.in("self");
  t.result(t.node("Not", {t.node("Or", {t.node("IsNaN", {x}), t.node("IsInf", {x})})}));
}

void rsqrt(Translation& t, const OnnxRule&) {
  t.result(t.node("Reciprocal", {t.node("Sqrt", {t.in_as("self", t.output().dtype)})}));
}

void square(Translation& t, const OnnxRule&) {
  const auto x = t.in("self");
  t.result(t.node("Mul", {x, x}));
}

/// f(x + shift) with a known f: log1p(x) = log(x + 1).
void log1p(Translation& t, const OnnxRule&) {
  const graph::DType type = t.output().dtype;
  t.result(t.node("Log", {t.node("Add", {t.in_as("self", type), t.scalar(1, type)})}));
}

void expm1(Translation& t, const OnnxRule&) {
  const graph::DType type = t.output().dtype;
  t.result(t.node("Sub", {t.node("Exp", {t.in_as("self", type)}), t.scalar(1, type)}));
}

// A table, several ops a line.
// clang-format off
constexpr auto kRules = std::to_array<OnnxRule>({
    {"abs", unary, "Abs"}, {"acos", unary, "Acos"}, {"acosh", unary, "Acosh"}, {"asin", unary, "Asin"},
    {"asinh", unary, "Asinh"}, {"atan", unary, "Atan"}, {"atanh", unary, "Atanh"}, {"ceil", unary, "Ceil"},
    {"cos", unary, "Cos"}, {"cosh", unary, "Cosh"}, {"erf", unary, "Erf"}, {"exp", unary, "Exp"},
    {"floor", unary, "Floor"}, {"isinf", unary, "IsInf"}, {"isnan", unary, "IsNaN"}, {"log", unary, "Log"},
    {"logical_not", unary, "Not"}, {"bitwise_not", unary, "Not"}, {"neg", unary, "Neg"},
    {"reciprocal", unary, "Reciprocal"}, {"round", unary, "Round"}, {"sgn", unary, "Sign"}, {"sign", unary, "Sign"},
    {"sin", unary, "Sin"}, {"sinh", unary, "Sinh"}, {"sqrt", unary, "Sqrt"}, {"tan", unary, "Tan"},
    {"alias", identity}, {"clone", identity}, {"contiguous", identity}, {"detach", identity}, {"dropout", identity},
    {"lift_fresh_copy", identity}, {"lift_fresh", identity}, {"positive", identity}, {"feature_dropout", identity},
    {"alpha_dropout", identity}, {"to", convert}, {"_to_copy", convert}, {"type_as", convert},
    {"expm1", expm1}, {"isfinite", is_finite}, {"log1p", log1p}, {"rsqrt", rsqrt}, {"square", square},
});
// clang-format on

}  // namespace

std::span<const OnnxRule> elementwise_rules() { return kRules; }

}  // namespace pollard::models::onnx
