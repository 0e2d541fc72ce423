// SPDX-License-Identifier: Apache-2.0
#include "kernels/aliases.h"

#include <numeric>

namespace pollard::kernels {
namespace {

using graph::ValueId;

/// Sets of values that may share memory.
class AliasSets {
 public:
  explicit AliasSets(std::size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0); }

  std::size_t find(ValueId id) {
    auto i = static_cast<std::size_t>(id.index);
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(ValueId a, ValueId b) { parent_[find(a)] = find(b); }

 private:
  std::vector<std::size_t> parent_;
};

bool schema_has_alias(const c10::FunctionSchema& schema) {
  for (const c10::Argument& result : schema.returns())
    if (result.alias_info()) return true;
  return false;
}

void join_results(const OpCall& call, const graph::Program& program, AliasSets& sets) {
  const graph::Op& op = call.op();
  const bool declared = schema_has_alias(*call.schema());
  if (!declared && !call.composite()) return;
  for (const c10::Argument& argument : call.schema()->arguments()) {
    if (declared && !argument.alias_info()) continue;
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

std::vector<bool> written_inputs(const graph::Program& program, const std::vector<OpCall>& calls,
                                 bool training) {
  AliasSets sets(program.values.size());
  for (const OpCall& call : calls)
    if (call.schema()) join_results(call, program, sets);
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
