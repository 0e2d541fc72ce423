// SPDX-License-Identifier: Apache-2.0
// Pointwise ops: the result's dimensions are its operands' dimensions, broadcast. What differs between them is only
// what they make of zeros.
#include <algorithm>
#include <array>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

bool is_zero(const Arg* arg) {
  if (!arg || arg->is_none()) return true;
  if (const auto* i = arg->as<std::int64_t>()) return *i == 0;
  if (const auto* f = arg->as<double>()) return *f == 0.0;
  return arg->as<ValueId>() != nullptr;  // tensors are judged as operands
}

/// clamp and its kind map 0 to 0 when the range holds it.
bool range_holds_zero(const Op& op) {
  const auto number = [&](std::string_view name, double fallback) {
    const Arg* arg = op.find(name);
    if (arg && arg->as<std::int64_t>()) return static_cast<double>(*arg->as<std::int64_t>());
    return arg && arg->as<double>() ? *arg->as<double>() : fallback;
  };
  return number("min", number("min_val", -1)) <= 0 && number("max", number("max_val", 1)) >= 0;
}

bool positive_exponent(const Op& op) {
  const Arg* exponent = op.find("exponent");
  if (!exponent) return false;
  if (const auto* i = exponent->as<std::int64_t>()) return *i > 0;
  return exponent->as<double>() && *exponent->as<double>() > 0;
}

Zero effect(const RuleContext& c, const OpRule& rule) {
  const std::string_view name = rule.name;
  if (name.starts_with("clamp") || name == "clip" || name == "hardtanh")
    return range_holds_zero(c.op()) ? Zero::Keeps : Zero::Loses;
  if (name == "pow") return positive_exponent(c.op()) ? Zero::Keeps : Zero::Loses;
  if (rule.zero == Zero::Additive) return is_zero(c.op().find("other")) ? Zero::Keeps : Zero::Loses;
  return rule.zero;
}

std::vector<ValueId> tensor_operands(RuleContext& c) {
  std::vector<ValueId> out;
  for (const NamedArg& named : c.op().args)
    for (ValueId id : values_in(named.arg))
      if (c.value(id).kind == Value::Kind::Tensor) out.push_back(id);
  return out;
}

/// For every result dimension the first operand term that spans it; all others become one with it.
std::vector<TermId> broadcast_dims(RuleContext& c, std::span<const ValueTerms* const> operands) {
  const Value& out = c.out_value();
  std::vector<TermId> dims(out.shape.size());
  for (std::size_t d = 0; d < dims.size(); ++d) {
    for (const ValueTerms* operand : operands) {
      const std::size_t missing = dims.size() - std::min(dims.size(), operand->dims.size());
      if (d < missing || c.size(operand->dims.at(d - missing)) != out.shape.at(d).hint) continue;
      dims.at(d) = operand->dims.at(d - missing);
      break;
    }
    if (dims.at(d).index < 0) dims.at(d) = c.fresh(out.shape.at(d).hint);
  }
  for (const ValueTerms* operand : operands) c.broadcast(dims, operand->dims);
  return dims;
}

void apply_pointwise(RuleContext& c, const OpRule& rule) {
  std::vector<const ValueTerms*> operands;
  const std::vector<ValueId> ids = tensor_operands(c);
  if (c.out_count() == 0 || c.out_value().kind != Value::Kind::Tensor) return;
  for (ValueId id : ids) operands.push_back(&c.in(id));
  std::vector<TermId> dims = broadcast_dims(c, operands);
  const Zero zero = operands.empty() ? Zero::Loses : effect(c, rule);
  std::vector<TermId> alive;
  switch (zero) {
    case Zero::Keeps:
    case Zero::Additive: alive = c.nonvanishing_sum(dims, operands); break;
    case Zero::Product: alive = c.nonvanishing_product(dims, operands); break;
    case Zero::First: alive = c.nonvanishing_sum(dims, std::span(operands).first(1)); break;
    case Zero::Loses: alive = c.all_axes(dims); break;
  }
  c.set(0, std::move(dims), std::move(alive));
  if (std::ranges::all_of(ids, [&](ValueId id) { return c.facts(id).uniform; }) && !ids.empty())
    c.set_uniform(
        0, zero == Zero::Keeps && std::ranges::all_of(ids, [&](ValueId id) { return c.facts(id).zero; }));
  // An in-place op leaves its first operand as it leaves its result.
  if (c.op().base_name().ends_with('_') && !ids.empty() && !c.op().base_name().ends_with("__"))
    c.facts(ids.front()).terms.nonvanishing = c.facts(c.op().outputs[0]).terms.nonvanishing;
}

// PReLU's slope is one number or one a channel (dimension 1).
void apply_prelu(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("self");
  const TermId slope = c.in("weight").dims.empty() ? c.fresh(1) : c.in("weight").dims.at(0);
  if (c.size(slope) != 1) c.unify(slope, x.dims.at(x.dims.size() > 1 ? 1 : 0));
  c.set(0, x.dims, x.nonvanishing);
}

// copy_(self, src): the result is self's place with src's content.
void apply_copy(RuleContext& c, const OpRule&) {
  const ValueTerms& self = c.in("self");
  const ValueTerms& src = c.in("src");
  c.broadcast(self.dims, src.dims);
  const std::array operands{&src};
  std::vector<TermId> alive = c.nonvanishing_sum(self.dims, operands);
  c.facts(c.id("self")).uniform = false;
  c.set(0, self.dims, std::move(alive));
}

constexpr OpRule point(std::string_view name, Zero zero) {
  return {.name = name, .apply = apply_pointwise, .zero = zero};
}

using enum Zero;

// A table, several ops a line.
// clang-format off
constexpr auto kRules = std::to_array<OpRule>({
    // f(0) = 0
    point("relu", Keeps), point("relu6", Keeps), point("gelu", Keeps), point("silu", Keeps),
    point("mish", Keeps), point("tanh", Keeps), point("hardswish", Keeps), point("leaky_relu", Keeps),
    point("elu", Keeps), point("celu", Keeps), point("selu", Keeps), point("rrelu", Keeps),
    point("hardshrink", Keeps), point("softshrink", Keeps), point("tanhshrink", Keeps),
    point("softsign", Keeps), point("hardtanh", Keeps), point("clamp", Keeps), point("clamp_min", Loses),
    point("clamp_max", Loses), point("clip", Loses), point("neg", Keeps), point("abs", Keeps),
    point("sign", Keeps), point("sgn", Keeps), point("sin", Keeps), point("asin", Keeps),
    point("sinh", Keeps), point("asinh", Keeps), point("tan", Keeps), point("atan", Keeps),
    point("atanh", Keeps), point("erf", Keeps), point("expm1", Keeps), point("log1p", Keeps),
    point("sqrt", Keeps), point("square", Keeps), point("pow", Keeps), point("float_power", Loses),
    point("round", Keeps), point("floor", Keeps), point("ceil", Keeps), point("trunc", Keeps),
    point("fix", Keeps), point("frac", Keeps), point("nan_to_num", Keeps), point("positive", Keeps),
    point("dropout", Keeps), point("alpha_dropout", Loses), point("feature_dropout", Keeps),
    point("native_dropout", Keeps), point("to", Keeps), point("_to_copy", Keeps), point("type_as", First),
    point("contiguous", Keeps), point("clone", Keeps), point("detach", Keeps), point("alias", Keeps),
    point("lift_fresh_copy", Keeps), point("lift_fresh", Keeps), point("view_as_real_copy", Loses),
    point("cpu", Keeps), point("cuda", Keeps), point("float", Keeps), point("double", Keeps),
    point("half", Keeps), point("bfloat16", Keeps), point("conj", Keeps), point("real", Keeps),
    point("deg2rad", Keeps), point("fake_quantize_per_tensor_affine", Keeps), point("_assert_async", Keeps),
    // f(0) != 0
    point("sigmoid", Loses), point("hardsigmoid", Loses), point("softplus", Loses),
    point("log_sigmoid", Loses), point("logsigmoid", Loses), point("exp", Loses), point("exp2", Loses),
    point("log", Loses), point("log2", Loses), point("log10", Loses), point("rsqrt", Loses),
    point("reciprocal", Loses), point("cos", Loses), point("acos", Loses), point("cosh", Loses),
    point("acosh", Loses), point("erfc", Loses), point("erfinv", Keeps), point("logit", Loses),
    point("threshold", Loses), point("bernoulli", Loses), point("lgamma", Loses), point("digamma", Loses),
    point("isnan", Loses), point("isinf", Loses), point("isfinite", Loses),
    // arithmetic
    point("add", Additive), point("sub", Additive), point("subtract", Additive), point("rsub", Additive),
    point("__add__", Additive), point("__sub__", Additive), point("mul", Product),
    point("multiply", Product), point("__mul__", Product), point("div", First), point("divide", First),
    point("true_divide", First), point("floor_divide", First), point("remainder", First),
    point("fmod", First), point("maximum", Keeps), point("minimum", Keeps), point("fmax", Keeps),
    point("fmin", Keeps), point("lerp", Keeps), point("addcmul", Keeps), point("addcdiv", Loses),
    point("atan2", Loses), point("hypot", Keeps), point("xlogy", Loses), point("copysign", First),
    point("logaddexp", Loses), point("where", Keeps), point("masked_fill", Loses),
    point("masked_scatter", Loses), point("polar", First),
    // comparisons and logic
    point("eq", Loses), point("ne", Loses), point("lt", Loses), point("le", Loses), point("gt", Loses),
    point("ge", Loses), point("logical_and", Loses), point("logical_or", Loses),
    point("logical_xor", Loses), point("logical_not", Loses), point("bitwise_and", Loses),
    point("bitwise_or", Loses), point("bitwise_xor", Loses), point("bitwise_not", Loses),
    point("__and__", Loses), point("__or__", Loses), point("__xor__", Loses),
    point("bitwise_left_shift", Loses), point("bitwise_right_shift", Loses), point("__lshift__", Loses),
    point("__rshift__", Loses), point("isin", Loses), point("bucketize", Loses),
    {.name = "prelu", .apply = apply_prelu},
    {.name = "copy", .apply = apply_copy},
});
// clang-format on

}  // namespace

std::span<const OpRule> pointwise_rules() { return kRules; }

}  // namespace pollard::graph
