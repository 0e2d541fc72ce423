// SPDX-License-Identifier: Apache-2.0
#include "pruning/stand_in_ops.h"

#include <utility>

namespace pollard::pruning {

graph::ValueId StandInOps::emit(const char* target, std::vector<graph::NamedArg> args, graph::Value value) {
  value.name = original_.name + "_" + ending_ + "_" + std::to_string(ops_.size());
  value.strides.clear();
  value.stride_exprs.clear();
  graph::Op op = original_;
  op.target = target;
  op.args = std::move(args);
  op.name = value.name;
  op.outputs = {program_.add(std::move(value))};
  ops_.push_back(std::move(op));
  return ops_.back().outputs[0];
}

std::vector<graph::Op> StandInOps::take() {
  program_.values.pop_back();
  ops_.back().name = original_.name;
  ops_.back().outputs = original_.outputs;
  return std::move(ops_);
}

void splice(graph::Program& program, std::map<std::size_t, std::vector<graph::Op>> written) {
  std::vector<graph::Op> ops;
  for (std::size_t i = 0; i < program.ops.size(); ++i) {
    const auto found = written.find(i);
    if (found == written.end())
      ops.push_back(std::move(program.ops[i]));
    else
      for (graph::Op& op : found->second) ops.push_back(std::move(op));
  }
  program.ops = std::move(ops);
}

}  // namespace pollard::pruning
