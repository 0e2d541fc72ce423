// SPDX-License-Identifier: Apache-2.0
#include "training/distillation.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "graph/error.h"
#include "pruning/plan.h"

namespace pollard::training {
namespace {

using graph::Program;

std::set<std::int32_t> made_by_ops(const Program& program) {
  std::set<std::int32_t> out;
  for (const graph::Op& op : program.ops)
    for (const graph::ValueId id : op.outputs) out.insert(id.index);
  return out;
}

bool is_state(const Program& program, graph::ValueId id) {
  const graph::Value& value = program[id];
  return value.kind == graph::Value::Kind::Tensor && graph::is_floating(value.dtype) &&
         value.shape.size() > 1;
}

/// Sums of two activations of one shape.
std::set<std::string> residual_sums(const Program& program) {
  const std::set<std::int32_t> activations = made_by_ops(program);
  std::set<std::string> out;
  for (const graph::Op& op : program.ops) {
    const std::string_view name = op.base_name();
    const auto a = op.tensor("self"), b = op.tensor("other");
    if ((name != "add" && name != "add_") || !a || !b || op.outputs.empty()) continue;
    const bool both = activations.contains(a->index) && activations.contains(b->index);
    if (both && is_state(program, op.outputs[0]) && program[*a].sizes() == program[*b].sizes())
      out.insert(program[op.outputs[0]].name);
  }
  return out;
}

/// What layers with weights read, but for the network's own inputs.
std::set<std::string> layer_inputs(const Program& program) {
  const std::set<std::int32_t> activations = made_by_ops(program);
  std::set<std::string> out;
  for (const graph::Op& op : program.ops) {
    const std::string_view name = op.base_name();
    const bool layer = name == "linear" || name == "addmm" || name.starts_with("conv") || name == "lstm" ||
                       name == "gru" || name.starts_with("rnn_");
    const auto x = op.tensor(name == "addmm" ? "mat1" : "input");
    if (layer && x && activations.contains(x->index) && is_state(program, *x)) out.insert(program[*x].name);
  }
  return out;
}

std::set<std::string> maps_in(const Program& program) {
  std::set<std::string> out;
  for (const graph::Op& op : program.ops) {
    const std::string_view name = op.base_name();
    const bool map = name == "softmax" || name == "_softmax" || name == "scaled_dot_product_attention";
    if (map && !op.outputs.empty() && program[op.outputs[0]].shape.size() > 2)
      out.insert(program[op.outputs[0]].name);
  }
  return out;
}

/// Of the program's example.
std::int64_t samples_of(const Program& program) {
  for (const graph::Input* input : program.user_inputs())
    if (!input->constant && !program[input->value].shape.empty())
      return std::max<std::int64_t>(1, program[input->value].shape[0].hint);
  return 1;
}

std::set<std::string> names_of(const Program& program) {
  std::set<std::string> out;
  for (const graph::Value& value : program.values) out.insert(value.name);
  return out;
}

std::set<std::string> in_both(const std::set<std::string>& names, const std::set<std::string>& others) {
  std::set<std::string> out;
  for (const std::string& name : names)
    if (others.contains(name)) out.insert(name);
  return out;
}

/// The map inside a fused attention: query, key, value, mask, dropout, causal, scale, grouped.
at::Tensor attention_map(const std::vector<c10::IValue>& stack) {
  const at::Tensor query = stack[0].toTensor();
  at::Tensor key = stack[1].toTensor();
  const double scale = stack.size() > 6 && !stack[6].isNone()
                           ? stack[6].toScalar().toDouble()
                           : 1 / std::sqrt(static_cast<double>(query.size(-1)));
  if (key.size(-3) != query.size(-3)) key = key.repeat_interleave(query.size(-3) / key.size(-3), -3);
  at::Tensor weights = at::matmul(query, key.transpose(-2, -1)) * scale;
  if (stack[3].isTensor()) {
    const at::Tensor mask = stack[3].toTensor();
    weights =
        mask.scalar_type() == at::kBool ? weights.masked_fill(mask.logical_not(), -1e9) : weights + mask;
  }
  if (stack[5].toBool()) {
    const at::Tensor seen = at::ones({query.size(-2), key.size(-2)}, query.options().dtype(at::kBool)).tril();
    weights = weights.masked_fill(seen.logical_not(), -1e9);
  }
  return weights.softmax(-1);
}

at::Tensor mean_of(const std::vector<at::Tensor>& terms) { return at::stack(terms).mean(); }

}  // namespace

Parent parent_of(const models::Model& student, models::Model dense) {
  KeptUnits kept;
  const auto plan = student.metadata.find("pollard.plan");
  if (plan != student.metadata.end()) {
    const graph::Dependencies d = graph::analyse(dense.program);
    try {
      kept.prune(dense.program, d, pruning::plan_from_json(plan->second, dense, d).removal);
    } catch (const UserError&) {
      kept = {};
    }
  }
  return {std::move(dense), std::move(kept)};
}

Distillation::Distillation(models::Model parent, DistillationOptions options,
                           kernels::Communicator& communicator, at::Device device)
    : parent_(std::move(parent), device), options_(options), communicator_(communicator) {
  const Program& program = parent_.model().program;
  const std::int64_t samples = samples_of(program);
  for (const graph::Value& value : program.values) examples_[value.name] = {value.sizes(), samples};
  follow(parent_.model().program, {});
}

void Distillation::follow(const Program& student, KeptUnits kept) {
  kept_ = std::move(kept);
  const std::set<std::string> parents = names_of(parent_.model().program);
  std::set<std::string> states = residual_sums(student);
  if (states.empty()) states = layer_inputs(student);
  hidden_ = options_.hidden > 0 ? in_both(states, parents) : std::set<std::string>{};
  maps_ = options_.attention > 0 ? in_both(maps_in(student), parents) : std::set<std::string>{};
}

void Distillation::record(kernels::RunOptions& run, const Program& program, States& states) const {
  states.clear();
  const auto known = static_cast<std::int32_t>(program.values.size());  // resizing adds values behind them
  run.after_value = [this, &program, &states, known](graph::ValueId id, at::Tensor& tensor) {
    if (id.index >= known) return;
    const std::string& name = program[id].name;
    if (hidden_.contains(name) || (maps_.contains(name) && !states.contains(name))) states[name] = tensor;
  };
  const kernels::OpHook other = run.before_op;
  run.before_op = [this, &program, &states, other](const graph::Op& op, std::size_t index,
                                                   std::vector<c10::IValue>& stack) {
    if (op.base_name() == "scaled_dot_product_attention" && maps_.contains(program[op.outputs[0]].name))
      states[program[op.outputs[0]].name] = attention_map(stack);
    return other && other(op, index, stack);
  };
}

void Distillation::watch(kernels::RunOptions& run, const Program& student) { record(run, student, student_); }

at::Tensor Distillation::answers(const at::Tensor& student, const at::Tensor& parent) const {
  if (student.dim() < 2 || student.sizes() != parent.sizes() || options_.temperature <= 0)
    return at::mse_loss(student, parent);
  const double t = options_.temperature;
  const at::Tensor mine = at::log_softmax(student.reshape({-1, student.size(-1)}).to(at::kFloat) / t, 1);
  const at::Tensor wanted = at::log_softmax(parent.reshape({-1, parent.size(-1)}).to(at::kFloat) / t, 1);
  return at::kl_div(mine, wanted, at::Reduction::Sum, /*log_target=*/true) *
         (t * t / static_cast<double>(mine.size(0)));
}

at::Tensor Distillation::at_kept(const std::string& name, const at::Tensor& theirs, std::int64_t dims) const {
  return kept_.of(name, theirs, examples_.at(name), dims);
}

at::Tensor Distillation::hidden(const States& parent, double share) const {
  std::vector<at::Tensor> distances, sizes;
  for (const std::string& name : hidden_) {
    const auto mine = student_.find(name), theirs = parent.find(name);
    if (mine == student_.end() || theirs == parent.end()) continue;
    const at::Tensor wanted = at_kept(name, theirs->second);
    if (wanted.sizes() != mine->second.sizes()) continue;
    distances.push_back(at::mse_loss(mine->second, wanted).to(at::kFloat));
    sizes.push_back(wanted.square().mean().to(at::kFloat));
  }
  if (distances.empty()) return at::zeros({});
  at::Tensor all = at::stack(sizes) * share;
  communicator_.all_reduce(all);
  return (at::stack(distances) / all.clamp_min(1e-12)).mean();
}

at::Tensor Distillation::attention(const States& parent) const {
  std::vector<at::Tensor> terms;
  for (const std::string& name : maps_) {
    const auto mine = student_.find(name), theirs = parent.find(name);
    if (mine == student_.end() || theirs == parent.end()) continue;
    // A map ends in positions, whatever its value ends in: a fused attention's last dimension is that of the heads.
    const at::Tensor map = mine->second, wanted = at_kept(name, theirs->second, theirs->second.dim() - 2);
    if (wanted.sizes() != map.sizes()) continue;
    const at::Tensor divergence = wanted * ((wanted + 1e-9).log() - (map + 1e-9).log());
    terms.push_back(divergence.sum(-1).mean().to(at::kFloat));
  }
  return terms.empty() ? at::zeros({}) : mean_of(terms);
}

at::Tensor Distillation::loss(const at::Tensor& task, double share, const std::vector<at::Tensor>& inputs,
                              const std::vector<at::Tensor>& outputs, double weight) {
  States states;
  std::vector<at::Tensor> wanted;
  {
    const c10::NoGradGuard no_grad;
    kernels::RunOptions run;
    run.device = parent_.device();
    record(run, parent_.model().program, states);
    wanted = parent_.executor(inputs.at(0).size(0)).run(parent_.weights(), inputs, run);
  }
  at::Tensor mine = answers(outputs.at(0), wanted.at(0)) * options_.logits;
  if (!hidden_.empty()) mine = mine + hidden(states, share) * options_.hidden;
  if (!maps_.empty()) mine = mine + attention(states) * options_.attention;
  student_.clear();
  return task * (1 - weight * options_.logits) + mine * (weight * share);
}

}  // namespace pollard::training
