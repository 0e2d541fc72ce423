// SPDX-License-Identifier: Apache-2.0
// Arithmetic on symbolic sizes: int64 tensors of one element.
#include <array>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

Name argument(Translation& t, std::size_t index) { return t.size(t.op().args.at(index).arg); }

void binary(Translation& t, const OnnxRule& rule) {
  t.result(t.node(rule.type, {argument(t, 0), argument(t, 1)}));
}

/// Integers divide towards zero in ONNX, in Python downwards.
void floor_divide(Translation& t, const OnnxRule&) {
  const Name a = argument(t, 0), b = argument(t, 1);
  t.result(t.node("Div", {t.node("Sub", {a, t.node("Mod", {a, b})}), b}));
}

void negate(Translation& t, const OnnxRule&) { t.result(t.node("Neg", {argument(t, 0)})); }

void sym_size(Translation& t, const OnnxRule&) {
  const auto dim = t.dim("dim", t.rank("self"), 0);
  t.result(t.node("Shape", {t.in("self")}, {{"start", dim}, {"end", dim + 1}}));
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"_operator.add", binary, "Add"},
    {"_operator.floordiv", floor_divide},
    {"_operator.mod", binary, "Mod"},
    {"_operator.mul", binary, "Mul"},
    {"_operator.neg", negate},
    {"_operator.sub", binary, "Sub"},
    {"sym_size", sym_size},
    {"torch.sym_max", binary, "Max"},
    {"torch.sym_min", binary, "Min"},
});

}  // namespace

std::span<const OnnxRule> size_rules() { return kRules; }

}  // namespace pollard::models::onnx
