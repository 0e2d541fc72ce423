// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "graph/program.h"

namespace pollard::test {

/// Writes small programs op by op. Shapes may be left out where a test does not look at them.
class ProgramBuilder {
 public:
  graph::ValueId tensor(std::string name, std::vector<std::int64_t> shape = {},
                        graph::DType dtype = graph::DType::Float32) {
    graph::Value value{.name = std::move(name), .dtype = dtype};
    for (std::int64_t size : shape) value.shape.push_back({size, ""});
    return program.add(std::move(value));
  }

  graph::ValueId input(std::string name, std::vector<std::int64_t> shape,
                       graph::DType dtype = graph::DType::Float32) {
    const graph::ValueId id = tensor(std::move(name), std::move(shape), dtype);
    program.inputs.push_back({.value = id});
    return id;
  }

  graph::ValueId weight(std::string source, std::vector<std::int64_t> shape,
                        graph::Input::Kind kind = graph::Input::Kind::Parameter,
                        graph::DType dtype = graph::DType::Float32) {
    const graph::ValueId id = tensor("w_" + source, std::move(shape), dtype);
    program.inputs.push_back({.value = id, .kind = kind, .source = std::move(source)});
    return id;
  }

  void op(std::string target, std::vector<graph::NamedArg> args, std::vector<graph::ValueId> outputs) {
    program.ops.push_back({.target = std::move(target),
                           .args = std::move(args),
                           .outputs = std::move(outputs),
                           .name = "op_" + std::to_string(program.ops.size())});
  }

  graph::ValueId size(std::string name) {
    return program.add({.name = std::move(name), .kind = graph::Value::Kind::Int});
  }

  void output(graph::ValueId id) { program.outputs.push_back({.value = id}); }

  graph::Program program;
};

}  // namespace pollard::test
