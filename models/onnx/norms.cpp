// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <limits>
#include <string>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

using graph::DType;

Name ones(Translation& t, const Ints& shape, DType type) {
  return t.constant(at::ones(shape, kernels::to_scalar_type(type)), "ones");
}
Name zeros(Translation& t, const Ints& shape, DType type) {
  return t.constant(at::zeros(shape, kernels::to_scalar_type(type)), "zeros");
}

std::int64_t channels(const Translation& t) { return t.operand("input").shape.at(1).hint; }

/// [C] as [C, 1, 1, ..], to meet [N, C, ..].
Name per_channel(Translation& t, const Name& name, std::int64_t rank) {
  Ints dims;
  for (std::int64_t d = 1; d < rank - 1; ++d) dims.push_back(d);
  return t.unsqueeze(name, dims);
}

void batch_norm(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const auto mean = t.maybe("running_mean"), variance = t.maybe("running_var");
  if (!mean || !variance || t.op().bool_or("training", false))
    t.refuse("batch norm that takes its statistics from the batch");
  const auto epsilon = static_cast<float>(t.real("eps", 1e-5));
  const Name scale = t.op().tensor("weight") ? t.in("weight") : ones(t, {channels(t)}, type);
  const Name shift = t.op().tensor("bias") ? t.in("bias") : zeros(t, {channels(t)}, type);
  t.result(
      t.node("BatchNormalization", {t.in("input"), scale, shift, *mean, *variance}, {{"epsilon", epsilon}}));
}

void instance_norm(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  if (!t.op().bool_or("use_input_stats", true)) t.refuse("instance norm with running statistics");
  const auto epsilon = static_cast<float>(t.real("eps", 1e-5));
  const Name scale = t.op().tensor("weight") ? t.in("weight") : ones(t, {channels(t)}, type);
  const Name shift = t.op().tensor("bias") ? t.in("bias") : zeros(t, {channels(t)}, type);
  t.result(t.node("InstanceNormalization", {t.in("input"), scale, shift}, {{"epsilon", epsilon}}));
}

/// Each group as one channel of an instance norm; scale and shift follow.
void group_norm(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const auto groups = t.op().int_or("num_groups", 1), rank = t.rank("input");
  const graph::ValueId x = t.id("input");
  const auto epsilon = static_cast<float>(t.real("eps", 1e-5));
  const Name grouped = t.reshape(t.in(x), {t.size(x, 0), t.list({groups}), t.list({-1})});
  const Name normed =
      t.node("InstanceNormalization", {grouped, ones(t, {groups}, type), zeros(t, {groups}, type)},
             {{"epsilon", epsilon}});
  Name y = t.reshape(normed, t.sizes(x, 0, rank));
  if (t.op().tensor("weight")) y = t.node("Mul", {y, per_channel(t, t.in("weight"), rank)});
  if (t.op().tensor("bias")) y = t.node("Add", {y, per_channel(t, t.in("bias"), rank)});
  t.result(y);
}

void layer_norm(Translation& t, const OnnxRule&) {
  const Ints shape = t.ints("normalized_shape", 1, 1);
  const auto epsilon = static_cast<float>(t.real("eps", 1e-5));
  Names inputs{t.in("input"), t.op().tensor("weight") ? t.in("weight") : ones(t, shape, t.output().dtype)};
  if (const auto bias = t.maybe("bias")) inputs.push_back(*bias);
  t.result(t.node("LayerNormalization", inputs,
                  {{"axis", -static_cast<std::int64_t>(shape.size())}, {"epsilon", epsilon}}));
}

void rms_norm(Translation& t, const OnnxRule&) {
  const DType type = t.output().dtype;
  const Ints shape = t.ints("normalized_shape", 1, 1);
  const auto rank = t.rank("input");
  Ints dims;
  for (std::int64_t d = rank - static_cast<std::int64_t>(shape.size()); d < rank; ++d) dims.push_back(d);
  const double machine = type == DType::Float64 ? std::numeric_limits<double>::epsilon()
                                                : static_cast<double>(std::numeric_limits<float>::epsilon());
  const Name x = t.in("input");
  const Name mean = t.reduce("ReduceMean", t.node("Mul", {x, x}), dims, true);
  const Name root = t.node("Sqrt", {t.node("Add", {mean, t.scalar(t.real("eps", machine), type)})});
  Name y = t.node("Div", {x, root});
  if (const auto weight = t.maybe("weight")) y = t.node("Mul", {y, *weight});
  t.result(y);
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"batch_norm", batch_norm},
    {"group_norm", group_norm},
    {"instance_norm", instance_norm},
    {"layer_norm", layer_norm},
    {"rms_norm", rms_norm},
});

}  // namespace

std::span<const OnnxRule> norm_rules() { return kRules; }

}  // namespace pollard::models::onnx
