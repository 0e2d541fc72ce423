// SPDX-License-Identifier: Apache-2.0
#include "training/sparsity.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstdlib>
#include <set>

#include "graph/error.h"
#include "graph/removal.h"

namespace pollard::training {
namespace {

using Kind = SparsityOptions::Kind;

/// Inputs that scale the channels of a batch norm.
std::set<std::int32_t> batch_norm_scales(const graph::Program& program) {
  std::set<std::int32_t> values, inputs;
  for (const graph::Op& op : program.ops)
    if (op.base_name().find("batch_norm") != std::string_view::npos)
      if (const auto weight = op.tensor("weight")) values.insert(weight->index);
  for (std::size_t i = 0; i < program.inputs.size(); ++i)
    if (values.contains(program.inputs[i].value.index)) inputs.insert(static_cast<std::int32_t>(i));
  return inputs;
}

/// 1 for the weakest unit, 0 for the strongest.
at::Tensor weakness(const at::Tensor& norms) {
  const at::Tensor low = norms.min(), high = norms.max();
  return (high - norms) / (high - low).clamp_min(1e-12);
}

}  // namespace

SparsityOptions sparsity_from(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  SparsityOptions out;
  if (name == "none" || name.empty()) return out;
  if (name == "group-l2") out.kind = Kind::GroupNorm;
  if (name == "growing") out = {.kind = Kind::Growing, .strength = 1e-4};
  if (name == "bn-l1") out = {.kind = Kind::BatchNormScale, .strength = 1e-4};
  bool good = out.kind != Kind::None;
  if (good && equals != std::string_view::npos) {
    const std::string number(text.substr(equals + 1));
    char* end = nullptr;
    out.strength = std::strtod(number.c_str(), &end);
    good = !number.empty() && *end == '\0' && out.strength >= 0;
  }
  if (good) return out;
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = "--sparse",
                   .message = "\"" + std::string(text) + "\" is no sparse training",
                   .where = {},
                   .why = {},
                   .help = "group-l2=5e-4, growing=1e-4, bn-l1=1e-4 or none"});
}

Sparsity::Sparsity(SparsityOptions options, const graph::Program& program, const graph::Dependencies& d,
                   at::Device device)
    : options_(options) {
  if (options_.kind == Kind::None) return;
  const std::set<std::int32_t> scales = batch_norm_scales(program);
  for (const graph::Group& found : d.groups) {
    const graph::Axis& axis = d.axes[static_cast<std::size_t>(found.axis)];
    Group group{.id = found.id, .units = axis.size, .slabs = {}, .strength = {}};
    for (const graph::Member& member : axis.members) {
      const graph::Input& input = program.inputs[static_cast<std::size_t>(member.input)];
      if (input.kind != graph::Input::Kind::Parameter || input.constant) continue;
      const graph::TermId term = d[input.value].dims[static_cast<std::size_t>(member.dim)];
      at::Tensor unit = at::tensor(graph::unit_of_index(d, term, found.axis), at::kLong).to(device);
      group.slabs.push_back(
          {input.source, member.dim, unit.masked_fill(unit < 0, axis.size), scales.contains(member.input)});
    }
    if (options_.kind == Kind::Growing)
      group.strength = at::zeros({axis.size + 1}, at::TensorOptions(at::kFloat).device(device));
    if (!group.slabs.empty()) groups_.push_back(std::move(group));
  }
}

at::Tensor Sparsity::norm(const Group& group, const kernels::Weights& weights) const {
  at::Tensor sums = at::zeros({group.units + 1}, group.slabs[0].unit.options().dtype(at::kDouble));
  for (const Slab& slab : group.slabs) {
    const at::Tensor weight = weights.at(slab.source).detach();
    const at::Tensor rows =
        weight.dim() == 1 ? weight.square() : weight.movedim(slab.dim, 0).flatten(1).square().sum(1);
    sums.index_add_(0, slab.unit, rows.to(at::kDouble));
  }
  return sums.slice(0, 0, group.units).sqrt();
}

std::vector<at::Tensor> Sparsity::norms(const kernels::Weights& weights) const {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> out;
  for (const Group& group : groups_) out.push_back(norm(group, weights));
  return out;
}

/// What multiplies the weights of each unit; 0 for what belongs to none.
at::Tensor Sparsity::strengths(Group& group, const kernels::Weights& weights, std::int64_t step) const {
  if (options_.kind == Kind::GroupNorm) {
    const at::Tensor rising = options_.strength * at::exp2(4 * weakness(norm(group, weights)));
    return at::constant_pad_nd(rising.to(at::kFloat), {0, 1});
  }
  if (step % options_.interval == 0) {
    const at::Tensor more = options_.strength * weakness(norm(group, weights)).to(at::kFloat);
    group.strength.slice(0, 0, group.units).add_(more).clamp_max_(options_.ceiling);
  }
  return group.strength;
}

void Sparsity::add_gradients(const kernels::Weights& weights, std::int64_t step) {
  const c10::NoGradGuard no_grad;
  for (Group& group : groups_) {
    const bool scales_only = options_.kind == Kind::BatchNormScale;
    const at::Tensor strength = scales_only ? at::Tensor() : strengths(group, weights, step);
    for (const Slab& slab : group.slabs) {
      const at::Tensor& weight = weights.at(slab.source);
      if (!weight.grad().defined()) continue;
      at::Tensor gradient = weight.grad();
      const at::Tensor numbers = weight.detach();
      if (scales_only) {
        if (slab.batch_norm_scale) gradient.add_(numbers.sign(), options_.strength);
        continue;
      }
      std::vector<std::int64_t> shape(static_cast<std::size_t>(numbers.dim()), 1);
      shape[static_cast<std::size_t>(slab.dim)] = numbers.size(slab.dim);
      gradient.addcmul_(numbers, strength.index_select(0, slab.unit).view(shape).to(numbers.scalar_type()));
    }
  }
}

std::map<std::string, at::Tensor> Sparsity::state() const {
  std::map<std::string, at::Tensor> out;
  for (const Group& group : groups_)
    if (group.strength.defined()) out[group.id] = group.strength;
  return out;
}

void Sparsity::restore(const std::map<std::string, at::Tensor>& state) {
  for (Group& group : groups_)
    if (const auto saved = state.find(group.id); saved != state.end()) group.strength.copy_(saved->second);
}

}  // namespace pollard::training
