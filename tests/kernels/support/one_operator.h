// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "kernels/lowering/lowering.h"
#include "tests/kernels/support/program_builder.h"

namespace pollard::kernels {

using graph::Arg;
using graph::ValueId;
using Tensors = std::vector<at::Tensor>;
using Targets = std::vector<std::string>;

inline void expect_near(const at::Tensor& got, const at::Tensor& want) {
  ASSERT_EQ(got.sizes(), want.sizes());
  EXPECT_LE(got.sub(want).abs().max().item<double>(), 1e-5 * want.abs().max().item<double>());
}

inline Targets targets(const Lowered& lowered) {
  Targets out;
  for (const graph::Op& op : lowered.program.ops) out.push_back(op.target);
  return out;
}

inline bool all_aten(const Lowered& lowered) {
  return std::ranges::all_of(lowered.program.ops,
                             [](const graph::Op& op) { return op.target.starts_with("aten."); });
}

/// One operator between an input and an output, its other operands weights.
struct OneOperator {
  test::ProgramBuilder b;
  Weights weights;
  ValueId x;
  at::Tensor input;

  explicit OneOperator(std::vector<std::int64_t> shape) : x(b.input("x", shape)), input(at::randn(shape)) {}
  Arg weight(const std::string& name, const at::Tensor& tensor) {
    weights[name] = tensor;
    return b.weight(name, tensor.sizes().vec());
  }
  Arg weight_list(const std::string& name, const Tensors& tensors) {
    Arg::List out;
    for (std::size_t k = 0; k < tensors.size(); ++k)
      out.push_back(weight(name + std::to_string(k), tensors[k]));
    return out;
  }
  void finish(const std::string& target, std::vector<graph::NamedArg> args, std::vector<std::int64_t> shape) {
    const ValueId y = b.tensor("y", std::move(shape));
    b.op(target, std::move(args), {y});
    b.output(y);
  }
  /// Lowers and compares with the operator itself.
  Lowered lowered(std::set<std::string, std::less<>> without) const {
    Lowered out = lower(b.program, weights, {.without = std::move(without), .fewest_macs = 0});
    expect_near(Executor(out.program).run(out.weights, {input}).at(0),
                Executor(b.program).run(weights, {input}).at(0));
    return out;
  }
};

}  // namespace pollard::kernels
