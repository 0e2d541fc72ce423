// SPDX-License-Identifier: Apache-2.0
#include "pruning/precision.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "graph/error.h"
#include "kernels/executor.h"
#include "pruning/output_change.h"
#include "pruning/verify.h"

namespace pollard::pruning {
namespace {

constexpr int kExamples = 2;

void convert_arguments(graph::Arg& arg, graph::DType type) {
  if (auto* dtype = arg.as<graph::DType>(); dtype && graph::is_floating(*dtype)) *dtype = type;
  if (auto* items = arg.as<graph::Arg::List>())
    for (graph::Arg& item : *items) convert_arguments(item, type);
}

void check_range(const kernels::Weights& before, const kernels::Weights& after) {
  for (const auto& [name, tensor] : before) {
    if (!tensor.is_floating_point()) continue;
    if (!tensor.isfinite().all().item<bool>() || after.at(name).isfinite().all().item<bool>()) continue;
    throw UserError({.code = "E0471",
                     .exit = Exit::Unsupported,
                     .subject = name,
                     .message = "holds numbers that are too large for this element type",
                     .help = "use bf16, which has the range of f32"});
  }
}

std::vector<at::Tensor> in_type_of(const graph::Program& program, std::vector<at::Tensor> inputs) {
  std::size_t next = 0;
  for (const graph::Input* input : program.user_inputs()) {
    if (input->constant || next >= inputs.size()) continue;
    at::Tensor& tensor = inputs[next++];
    if (tensor.is_floating_point()) tensor = tensor.to(kernels::to_scalar_type(program[input->value].dtype));
  }
  return inputs;
}

double change_of_outputs(const models::Model& before, const models::Model& after, std::uint64_t seed) {
  const kernels::Executor dense(before.program), small(after.program);
  double worst = 0;
  for (const std::vector<at::Tensor>& inputs : example_inputs(before, kExamples, seed)) {
    std::vector<at::Tensor> got = small.run(after.weights, in_type_of(after.program, inputs));
    const std::vector<at::Tensor> want = dense.run(before.weights, inputs);
    for (std::size_t i = 0; i < got.size(); ++i) got[i] = got[i].to(want[i].scalar_type());
    worst = std::max(worst, relative_change(want, got));
  }
  return worst;
}

}  // namespace

Converted to_type(const models::Model& model, graph::DType type, std::uint64_t seed) {
  Converted out{.model = model};
  for (graph::Value& value : out.model.program.values)
    if (graph::is_floating(value.dtype)) value.dtype = type;
  for (graph::Op& op : out.model.program.ops)
    for (graph::NamedArg& named : op.args) convert_arguments(named.arg, type);
  out.model.weights = kernels::convert(model.weights, kernels::to_scalar_type(type));
  check_range(model.weights, out.model.weights);
  out.model.sample_inputs = in_type_of(out.model.program, model.sample_inputs);
  out.output_change = change_of_outputs(model, out.model, seed);
  return out;
}

}  // namespace pollard::pruning
