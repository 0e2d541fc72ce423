// SPDX-License-Identifier: Apache-2.0
// Ops on two tensors, or a tensor and a number. ONNX converts nothing by itself: operands take the result's type, or for
// comparisons the wider of theirs.
#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <array>
#include <string>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

using graph::DType;

const graph::Arg& argument(const Translation& t, std::string_view name) {
  const graph::Arg* arg = t.op().find(name);
  if (!arg) t.refuse("its argument " + std::string(name) + " is missing");
  return *arg;
}

Name scaled(Translation& t, const Name& x, std::string_view factor, DType type) {
  const double number = t.real(factor, 1);
  return number == 1 ? x : t.node("Mul", {x, t.scalar(number, type)});
}

void binary(Translation& t, const OnnxRule& rule) {
  const DType type = t.output().dtype;
  const Name a = t.number_as(argument(t, "self"), type);
  const Name b = scaled(t, t.number_as(argument(t, "other"), type), "alpha", type);
  t.result(t.node(rule.type, {a, b}));
}

/// rsub(a, b) = b - alpha a
void rsub(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const Name a = scaled(t, t.in_as("self", type), "alpha", type);
  t.result(t.node("Sub", {t.number_as(argument(t, "other"), type), a}));
}

/// floor(a / b): integers divide towards zero in ONNX, so that what the remainder leaves is divided.
Name floor_quotient(Translation& t, const Name& a, const Name& b, DType type) {
  if (graph::is_floating(type)) return t.node("Floor", {t.node("Div", {a, b})});
  return t.node("Div", {t.node("Sub", {a, t.node("Mod", {a, b})}), b});
}

void divide(Translation& t, const OnnxRule& rule) {
  const DType type = t.output().dtype;
  const Name a = t.number_as(argument(t, "self"), type), b = t.number_as(argument(t, "other"), type);
  const graph::Arg* given = t.op().find("rounding_mode");
  const auto* mode = given ? given->as<std::string>() : nullptr;
  if (rule.type == "Floor" || (mode && *mode == "floor")) return t.result(floor_quotient(t, a, b, type));
  const Name quotient = t.node("Div", {a, b});
  if (!mode || !graph::is_floating(type)) return t.result(quotient);
  t.result(t.node("Mul", {t.node("Sign", {quotient}), t.node("Floor", {t.node("Abs", {quotient})})}));
}

void remainder(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const Name a = t.number_as(argument(t, "self"), type), b = t.number_as(argument(t, "other"), type);
  if (!graph::is_floating(type)) return t.result(t.node("Mod", {a, b}));
  t.result(t.node("Sub", {a, t.node("Mul", {floor_quotient(t, a, b, type), b})}));
}

void power(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const Name base = t.number_as(argument(t, "self"), type);
  const graph::Arg& exponent = argument(t, "exponent");
  const auto* number = exponent.as<std::int64_t>();
  if (number && *number == 2) return t.result(t.node("Mul", {base, base}));
  t.result(t.node("Pow", {base, t.number_as(exponent, type)}));
}

/// The type two operands are compared in.
DType common_type(const Translation& t) {
  const DType a = t.operand("self").dtype;
  const graph::Arg& other = argument(t, "other");
  const auto* id = other.as<graph::ValueId>();
  if (id && t.value(*id).kind == graph::Value::Kind::Tensor) {
    const auto type =
        c10::promoteTypes(kernels::to_scalar_type(a), kernels::to_scalar_type(t.value(*id).dtype));
    return kernels::from_scalar_type(type);
  }
  if (a == DType::Bool) return DType::Int64;
  return other.as<double>() && !graph::is_floating(a) ? DType::Float32 : a;
}

void compare(Translation& t, const OnnxRule& rule) {
  const DType type = common_type(t);
  const Name a = t.in_as("self", type), b = t.number_as(argument(t, "other"), type);
  if (rule.type == "NotEqual") return t.result(t.node("Not", {t.node("Equal", {a, b})}));
  t.result(t.node(rule.type, {a, b}));
}

void logical(Translation& t, const OnnxRule& rule) {
  if (t.output().dtype != DType::Bool) t.refuse("bits of integers");
  t.result(t.node(rule.type, {t.in_as("self", DType::Bool), t.number_as(argument(t, "other"), DType::Bool)}));
}

/// self + value t1 t2, or with a quotient
void addcmul(Translation& t, const OnnxRule& rule) {
  const DType type = t.output().dtype;
  const Name product = t.node(rule.type, {t.in_as("tensor1", type), t.in_as("tensor2", type)});
  t.result(t.node("Add", {t.in_as("self", type), scaled(t, product, "value", type)}));
}

void where(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  t.result(t.node("Where", {t.in_as("condition", DType::Bool), t.number_as(argument(t, "self"), type),
                            t.number_as(argument(t, "other"), type)}));
}

void masked_fill(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  t.result(
      t.node("Where", {t.in_as("mask", DType::Bool), t.number_as(argument(t, "value"), type), t.in("self")}));
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"__and__", logical, "And"},
    {"__or__", logical, "Or"},
    {"__xor__", logical, "Xor"},
    {"add", binary, "Add"},
    {"addcdiv", addcmul, "Div"},
    {"addcmul", addcmul, "Mul"},
    {"bitwise_and", logical, "And"},
    {"bitwise_or", logical, "Or"},
    {"bitwise_xor", logical, "Xor"},
    {"div", divide},
    {"eq", compare, "Equal"},
    {"floor_divide", divide, "Floor"},
    {"ge", compare, "GreaterOrEqual"},
    {"gt", compare, "Greater"},
    {"le", compare, "LessOrEqual"},
    {"logical_and", logical, "And"},
    {"logical_or", logical, "Or"},
    {"logical_xor", logical, "Xor"},
    {"lt", compare, "Less"},
    {"masked_fill", masked_fill},
    {"maximum", binary, "Max"},
    {"minimum", binary, "Min"},
    {"mul", binary, "Mul"},
    {"ne", compare, "NotEqual"},
    {"pow", power},
    {"remainder", remainder},
    {"rsub", rsub},
    {"sub", binary, "Sub"},
    {"where", where},
});

}  // namespace

std::span<const OnnxRule> arithmetic_rules() { return kRules; }

}  // namespace pollard::models::onnx
