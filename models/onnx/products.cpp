// SPDX-License-Identifier: Apache-2.0
// Matrix products.
#include <array>
#include <string>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

/// The weight stays as the checkpoint has it, [out, in]; runtimes transpose it once when they load it.
void linear(Translation& t, const OnnxRule&) {
  const auto bias = t.maybe("bias");
  if (t.rank("input") == 2) {
    Names inputs{t.in("input"), t.in("weight")};
    if (bias) inputs.push_back(*bias);
    return t.result(t.node("Gemm", inputs, {{"transB", std::int64_t{1}}}));
  }
  const Name weight = t.rank("weight") == 1 ? t.in("weight") : t.transpose(t.in("weight"), {1, 0});
  const Name product = t.node("MatMul", {t.in("input"), weight});
  t.result(bias ? t.node("Add", {product, *bias}) : product);
}

void matmul(Translation& t, const OnnxRule&) {
  const std::string_view other = t.op().find("mat2") ? "mat2" : t.op().find("vec") ? "vec" : "other";
  t.result(t.node("MatMul", {t.in("self"), t.in(other)}));
}

void dot(Translation& t, const OnnxRule&) { t.result(t.node("MatMul", {t.in("self"), t.in("tensor")})); }

void addmm(Translation& t, const OnnxRule&) {
  const auto beta = static_cast<float>(t.real("beta", 1)), alpha = static_cast<float>(t.real("alpha", 1));
  t.result(t.node("Gemm", {t.in("mat1"), t.in("mat2"), t.in("self")}, {{"alpha", alpha}, {"beta", beta}}));
}

void baddbmm(Translation& t, const OnnxRule&) {
  if (t.real("beta", 1) != 1 || t.real("alpha", 1) != 1) t.refuse("a scaled sum of products");
  t.result(t.node("Add", {t.node("MatMul", {t.in("batch1"), t.in("batch2")}), t.in("self")}));
}

void einsum(Translation& t, const OnnxRule&) {
  const auto* equation = t.op().find("equation")->as<std::string>();
  if (!equation) t.refuse("no equation");
  Names operands;
  for (graph::ValueId id : t.op().tensors("tensors")) operands.push_back(t.in(id));
  t.result(t.node("Einsum", operands, {{"equation", *equation}}));
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"addmm", addmm},
    {"baddbmm", baddbmm},
    {"bmm", matmul},
    {"dot", dot},
    {"einsum", einsum},
    {"linear", linear},
    {"matmul", matmul},
    {"mm", matmul},
    {"mv", matmul},
});

}  // namespace

std::span<const OnnxRule> product_rules() { return kRules; }

}  // namespace pollard::models::onnx
