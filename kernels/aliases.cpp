// SPDX-License-Identifier: Apache-2.0
#include "kernels/aliases.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace pollard::kernels {
namespace {

using graph::ValueId;

/// Composite ops that always compute: their results are new, whatever their sizes.
constexpr std::array<std::string_view, 16> kAlwaysNew{
    "batch_norm", "conv1d",     "conv2d",     "conv3d",    "gru",    "instance_norm",
    "linear",     "layer_norm", "group_norm", "lstm",      "matmul", "scaled_dot_product_attention",
    "rms_norm",   "avg_pool1d", "max_pool1d", "max_pool2d"};

bool schema_has_alias(const c10::FunctionSchema& schema) {
  for (const c10::Argument& result : schema.returns())
    if (result.alias_info()) return true;
  return false;
}

enum class Written : std::uint8_t { Joined, Apart };

/// `written`: whether what an in-place op returns belongs to the set of its argument.
void join_results(const OpCall& call, const graph::Program& program, AliasSets& sets, Written written) {
  const graph::Op& op = call.op();
  const bool declared = schema_has_alias(*call.schema());
  if (!declared && (!call.composite() || std::ranges::find(kAlwaysNew, op.base_name()) != kAlwaysNew.end()))
    return;
  for (const c10::Argument& argument : call.schema()->arguments()) {
    if (declared && !argument.alias_info()) continue;
    if (declared && written == Written::Apart && argument.alias_info()->isWrite()) continue;
    for (ValueId in : op.tensors(argument.name()))
      for (ValueId out : op.outputs) {
        // dropout in eval mode and its like return their argument though the schema promises nothing
        const bool same_form =
            program[in].dtype == program[out].dtype && program[in].numel() == program[out].numel();
        if (declared || same_form) sets.join(in, out);
      }
  }
}

bool updates_statistics(const OpCall& call, const std::string& argument) {
  return (argument == "running_mean" || argument == "running_var") && call.op().find(argument);
}

}  // namespace

AliasSets::AliasSets(std::size_t count) : parent_(count) {
  std::iota(parent_.begin(), parent_.end(), std::size_t{0});
}

std::size_t AliasSets::find(ValueId id) {
  auto i = static_cast<std::size_t>(id.index);
  while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
  return i;
}

bool AliasSets::alone(ValueId id) {
  const std::size_t set = find(id);
  for (std::size_t i = 0; i < parent_.size(); ++i) {
    const ValueId other{static_cast<std::int32_t>(i)};
    if (other != id && find(other) == set) return false;
  }
  return true;
}

AliasSets view_sets(const graph::Program& program) {
  AliasSets sets(program.values.size());
  for (const graph::Op& op : program.ops) {
    const OpCall call(op, program);
    if (call.schema()) join_results(call, program, sets, Written::Apart);
  }
  return sets;
}

std::vector<bool> written_inputs(const graph::Program& program, const std::vector<OpCall>& calls,
                                 bool training) {
  AliasSets sets(program.values.size());
  for (const OpCall& call : calls)
    if (call.schema()) join_results(call, program, sets, Written::Joined);
  for (const graph::Input& input : program.inputs)
    if (!input.tied_to.empty())
      if (const auto* owner = program.find_input(input.tied_to)) sets.join(input.value, owner->value);
  std::vector<bool> written(program.values.size(), false);
  for (const OpCall& call : calls) {
    if (!call.schema()) continue;
    for (const c10::Argument& argument : call.schema()->arguments()) {
      const bool in_place = argument.alias_info() && argument.alias_info()->isWrite();
      if (in_place || (training && updates_statistics(call, argument.name())))
        for (ValueId id : call.op().tensors(argument.name())) written[sets.find(id)] = true;
    }
  }
  std::vector<bool> inputs;
  inputs.reserve(program.inputs.size());
  for (const graph::Input& input : program.inputs)
    inputs.push_back(!input.constant && written[sets.find(input.value)]);
  return inputs;
}

}  // namespace pollard::kernels
