// SPDX-License-Identifier: Apache-2.0
// Activations, in the words of opset 17 (GELU is an op of its own only from 20 on; runtimes know the pattern).
#include <array>
#include <limits>
#include <numbers>
#include <string>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

using graph::DType;

void simple(Translation& t, const OnnxRule& rule) { t.result(t.node(rule.type, {t.in("self")})); }

Name times(Translation& t, const Name& x, double factor, DType type) {
  return factor == 1 ? x : t.node("Mul", {x, t.scalar(factor, type)});
}

/// x/2 (1 + erf(x / sqrt 2)), or with tanh its approximation.
void gelu(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const Name x = t.in("self");
  const graph::Arg* given = t.op().find("approximate");
  const auto* kind = given ? given->as<std::string>() : nullptr;
  Name curve;
  if (kind && *kind == "tanh") {
    const Name cube = t.node("Mul", {t.node("Mul", {x, x}), x});
    const Name sum = t.node("Add", {x, times(t, cube, 0.044715, type)});
    curve = t.node("Tanh", {times(t, sum, std::numbers::sqrt2 * std::numbers::inv_sqrtpi, type)});
  } else {
    curve = t.node("Erf", {t.node("Div", {x, t.scalar(std::numbers::sqrt2, type)})});
  }
  const Name share = t.node("Add", {curve, t.scalar(1, type)});
  t.result(times(t, t.node("Mul", {x, share}), 0.5, type));
}

void silu(Translation& t, const OnnxRule&) {
  const Name x = t.in("self");
  t.result(t.node("Mul", {x, t.node("Sigmoid", {x})}));
}

void mish(Translation& t, const OnnxRule&) {
  const Name x = t.in("self");
  t.result(t.node("Mul", {x, t.node("Tanh", {t.node("Softplus", {x})})}));
}

void hardsigmoid(Translation& t, const OnnxRule&) {
  t.result(t.node("HardSigmoid", {t.in("self")}, {{"alpha", 1.0F / 6}, {"beta", 0.5F}}));
}

void leaky_relu(Translation& t, const OnnxRule&) {
  const auto slope = static_cast<float>(t.real("negative_slope", 0.01));
  t.result(t.node("LeakyRelu", {t.in("self")}, {{"alpha", slope}}));
}

void elu(Translation& t, const OnnxRule&) {
  if (t.real("input_scale", 1) != 1) t.refuse("ELU with a scaled input");
  const auto alpha = static_cast<float>(t.real("alpha", 1));
  const Name y = t.node("Elu", {t.in("self")}, {{"alpha", alpha}});
  t.result(times(t, y, t.real("scale", 1), t.output().dtype));
}

void softplus(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const double beta = t.real("beta", 1), threshold = t.real("threshold", 20);
  const Name x = t.in("self"), scaled = times(t, x, beta, type);
  const Name y = times(t, t.node("Softplus", {scaled}), 1 / beta, type);
  // Past the threshold PyTorch says x itself.
  t.result(t.node("Where", {t.node("Greater", {scaled, t.scalar(threshold, type)}), x, y}));
}

void log_sigmoid(Translation& t, const OnnxRule&) {
  t.result(t.node("Neg", {t.node("Softplus", {t.node("Neg", {t.in("self")})})}));
}

void prelu(Translation& t, const OnnxRule&) {
  Name slope = t.in("weight");
  const auto rank = t.rank("self");
  if (t.rank("weight") == 1 && rank > 2) {
    Ints dims;
    for (std::int64_t d = 1; d < rank - 1; ++d) dims.push_back(d);
    slope = t.unsqueeze(slope, dims);
  }
  t.result(t.node("PRelu", {t.in("self"), slope}));
}

void clip(Translation& t, const std::optional<Name>& low, const std::optional<Name>& high) {
  t.result(t.node("Clip", {t.in_as("self", t.output().dtype), low.value_or(""), high.value_or("")}));
}

std::optional<Name> bound(Translation& t, std::string_view argument) {
  const graph::Arg* arg = t.op().find(argument);
  if (!arg || arg->is_none()) return std::nullopt;
  return t.number_as(*arg, t.output().dtype);
}

void clamp(Translation& t, const OnnxRule&) {
  const auto low = bound(t, "min"), high = bound(t, "max");
  const auto is_tensor = [&](std::string_view argument) {
    const auto id = t.op().tensor(argument);
    return id && t.value(*id).kind == graph::Value::Kind::Tensor;
  };
  if (!is_tensor("min") && !is_tensor("max")) return clip(t, low, high);
  Name x = t.in_as("self", t.output().dtype);
  if (low) x = t.node("Max", {x, *low});
  if (high) x = t.node("Min", {x, *high});
  t.result(x);
}

void hardtanh(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  clip(t, t.scalar(t.real("min_val", -1), type), t.scalar(t.real("max_val", 1), type));
}

void relu6(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  clip(t, t.scalar(0, type), t.scalar(6, type));
}

void glu(Translation& t, const OnnxRule&) {
  const auto dim = t.dim("dim", t.rank("self"), -1);
  const auto half = t.output().shape[static_cast<std::size_t>(dim)].hint;
  const Names parts = t.node("Split", {t.in("self"), t.list({half, half})}, 2, {{"axis", dim}});
  t.result(t.node("Mul", {parts[0], t.node("Sigmoid", {parts[1]})}));
}

void softmax(Translation& t, const OnnxRule& rule) {
  const auto dim = t.dim("dim", t.rank("self"), -1);
  t.result(t.node(rule.type, {t.in_as("self", t.output().dtype)}, {{"axis", dim}}));
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"clamp", clamp},
    {"clamp_max", clamp},
    {"clamp_min", clamp},
    {"elu", elu},
    {"gelu", gelu},
    {"glu", glu},
    {"hardsigmoid", hardsigmoid},
    {"hardswish", simple, "HardSwish"},
    {"hardtanh", hardtanh},
    {"leaky_relu", leaky_relu},
    {"log_sigmoid", log_sigmoid},
    {"log_softmax", softmax, "LogSoftmax"},
    {"mish", mish},
    {"prelu", prelu},
    {"relu", simple, "Relu"},
    {"relu6", relu6},
    {"selu", simple, "Selu"},
    {"sigmoid", simple, "Sigmoid"},
    {"silu", silu},
    {"softmax", softmax, "Softmax"},
    {"softplus", softplus},
    {"softsign", simple, "Softsign"},
    {"tanh", simple, "Tanh"},
});

}  // namespace

std::span<const OnnxRule> activation_rules() { return kRules; }

}  // namespace pollard::models::onnx
