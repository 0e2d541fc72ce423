// SPDX-License-Identifier: Apache-2.0
// Tensors out of nothing but sizes and numbers.
#include <array>
#include <string>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

using graph::DType;

Name shape_of_result(Translation& t) {
  const graph::Arg* size = t.op().find("size");
  if (size) return t.join(t.sizes(*size));
  return t.join(t.sizes(t.id("self"), 0, t.rank("self")));
}

void fill(Translation& t, double value) { t.result(t.filled(shape_of_result(t), value, t.output().dtype)); }

void zeros(Translation& t, const OnnxRule&) { fill(t, 0); }
void ones(Translation& t, const OnnxRule&) { fill(t, 1); }

void full(Translation& t, const OnnxRule&) {
  const graph::Arg* value = t.op().find("fill_value");
  if (!value) t.refuse("no value");
  if (!value->as<graph::ValueId>()) return fill(t, t.real("fill_value", 0));
  t.result(t.node("Expand", {t.number_as(*value, t.output().dtype), shape_of_result(t)}));
}

void arange(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const auto bound = [&](std::string_view name, double fallback) {
    const graph::Arg* arg = t.op().find(name);
    return arg ? t.number_as(*arg, type) : t.scalar(fallback, type);
  };
  t.result(t.node("Range", {bound("start", 0), bound("end", 0), bound("step", 1)}));
}

void eye(Translation& t, const OnnxRule&) {
  const Name rows = t.size(*t.op().find("n"));
  const Name columns = t.op().find("m") ? t.size(*t.op().find("m")) : rows;
  t.result(t.node("EyeLike", {t.filled(t.join({rows, columns}), 0, t.output().dtype)}));
}

void scalar_tensor(Translation& t, const OnnxRule&) {
  t.result(t.node("Identity", {t.number_as(*t.op().find("s"), t.output().dtype)}));
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"arange", arange},
    {"eye", eye},
    {"full", full},
    {"full_like", full},
    {"new_full", full},
    {"new_ones", ones},
    {"new_zeros", zeros},
    {"ones", ones},
    {"ones_like", ones},
    {"scalar_tensor", scalar_tensor},
    {"zeros", zeros},
    {"zeros_like", zeros},
});

}  // namespace

std::span<const OnnxRule> creation_rules() { return kRules; }

}  // namespace pollard::models::onnx
