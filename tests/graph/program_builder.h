// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "graph/dependencies.h"
#include "graph/program.h"

namespace pollard::graph::testing {

/// Writes small programs by hand: the shapes of results are given, nothing is inferred.
class ProgramBuilder {
 public:
  ValueId input(const std::string& name, std::vector<std::int64_t> shape, DType dtype = DType::Float32) {
    return add_input(name, std::move(shape), dtype, Input::Kind::User);
  }
  ValueId parameter(const std::string& name, std::vector<std::int64_t> shape) {
    return add_input(name, std::move(shape), DType::Float32, Input::Kind::Parameter);
  }

  std::vector<ValueId> call(const std::string& target, std::vector<NamedArg> args,
                            std::vector<std::vector<std::int64_t>> shapes) {
    Op op{.target = target,
          .args = std::move(args),
          .outputs = {},
          .name = "op" + std::to_string(program_.ops.size()),
          .module = {},
          .metadata = {}};
    for (std::size_t k = 0; k < shapes.size(); ++k)
      op.outputs.push_back(
          add_value(op.name + "_" + std::to_string(k), std::move(shapes[k]), DType::Float32));
    program_.ops.push_back(op);
    return op.outputs;
  }
  ValueId linear(ValueId x, ValueId weight, std::vector<std::int64_t> shape) {
    return call("aten.linear.default", {{"input", x}, {"weight", weight}}, {std::move(shape)})[0];
  }

  Program finish(ValueId out) {
    program_.outputs.push_back({.value = out, .kind = Output::Kind::User, .target = {}});
    check(program_);
    return program_;
  }

 private:
  ValueId add_value(const std::string& name, std::vector<std::int64_t> shape, DType dtype) {
    Value value;
    value.name = name;
    value.dtype = dtype;
    for (std::int64_t n : shape) value.shape.push_back({.hint = n, .expr = {}});
    return program_.add(std::move(value));
  }
  ValueId add_input(const std::string& name, std::vector<std::int64_t> shape, DType dtype, Input::Kind kind) {
    Input in;
    in.value = add_value(name, std::move(shape), dtype);
    in.kind = kind;
    if (kind != Input::Kind::User) in.source = name;
    program_.inputs.push_back(in);
    return in.value;
  }

  Program program_;
};

/// The printed term of one dimension of a stored tensor.
inline std::string term_of(const Program& program, const Dependencies& d, const std::string& source,
                           std::size_t dim) {
  return to_string(d, d[program.find_input(source)->value].dims[dim]);
}

}  // namespace pollard::graph::testing
