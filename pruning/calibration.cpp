// SPDX-License-Identifier: Apache-2.0
#include "pruning/calibration.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "graph/error.h"
#include "graph/op_rules.h"
#include "models/io/checkpoint.h"
#include "pruning/rewrite.h"

namespace pollard::pruning {
namespace {

std::vector<graph::ValueId> tensor_inputs(const graph::Program& program) {
  std::vector<graph::ValueId> out;
  for (const graph::Input* input : program.user_inputs())
    if (!input->constant) out.push_back(input->value);
  return out;
}

[[noreturn]] void misfit(const std::filesystem::path& path, const std::string& message) {
  throw UserError(
      {.code = "E0390",
       .exit = Exit::BadFile,
       .subject = path.filename().string(),
       .message = message,
       .where = {},
       .why = {},
       .help =
           "store one tensor an input, samples first, under the names that `pollard inspect FILE` shows"});
}

void check_sample(const std::filesystem::path& path, const graph::Value& want, const at::Tensor& got) {
  const bool rank = static_cast<std::size_t>(got.dim()) == want.shape.size() && got.dim() > 0;
  if (!rank)
    misfit(path, want.name + " has rank " + std::to_string(got.dim()) + ", the program takes rank " +
                     std::to_string(want.shape.size()));
  for (std::size_t d = 1; d < want.shape.size(); ++d)
    if (!want.shape[d].symbolic() && got.size(static_cast<std::int64_t>(d)) != want.shape[d].hint)
      misfit(path, want.name + " has length " + std::to_string(got.size(static_cast<std::int64_t>(d))) +
                       " in dim " + std::to_string(d) + ", the program takes " +
                       std::to_string(want.shape[d].hint));
  if (got.is_floating_point() != graph::is_floating(want.dtype))
    misfit(path, want.name + " mixes floating-point and integer data");
}

}  // namespace

CalibrationSet read_calibration(const std::filesystem::path& path, const graph::Program& program) {
  models::io::Checkpoint file = models::io::read_checkpoint(path);
  const std::vector<graph::ValueId> wanted = tensor_inputs(program);
  const bool named =
      std::ranges::all_of(wanted, [&](graph::ValueId id) { return file.tensors.contains(program[id].name); });
  if (!named && file.tensors.size() != wanted.size())
    misfit(path, "holds " + std::to_string(file.tensors.size()) + " tensors, the program takes " +
                     std::to_string(wanted.size()));
  CalibrationSet set;
  auto next = file.tensors.begin();
  for (graph::ValueId id : wanted) {
    const graph::Value& value = program[id];
    const at::Tensor& tensor = named ? file.tensors.at(value.name) : (next++)->second;
    check_sample(path, value, tensor);
    set.inputs.push_back(tensor.to(kernels::to_scalar_type(value.dtype)));
  }
  for (const at::Tensor& tensor : set.inputs)
    if (tensor.size(0) != set.samples()) misfit(path, "the inputs hold different numbers of samples");
  return set;
}

graph::Program with_batch(const graph::Program& program, const graph::Dependencies& d, std::int64_t batch) {
  graph::Widths widths = graph::full_widths(d);
  for (graph::ValueId id : tensor_inputs(program)) {
    const graph::Value& value = program[id];
    if (value.shape.empty() || value.shape[0].symbolic() || value.shape[0].hint == batch) continue;
    const graph::TermId term = d[id].dims[0];
    const graph::AxisIndex axis = d.axis_of(term);
    if (axis < 0 || d.terms.kind(term) != graph::Terms::Kind::Axis)
      throw UserError(
          {.code = "E0391",
           .exit = Exit::Unsupported,
           .subject = value.name,
           .message = "its first dimension is no batch that can be lengthened",
           .where = {},
           .why = "the program was exported with a batch of " + std::to_string(value.shape[0].hint),
           .help = "export with a dynamic batch dimension, or a batch of at least 2"});
    widths[static_cast<std::size_t>(axis)] = batch;
  }
  return resize(program, d, graph::Removal(d), widths);
}

}  // namespace pollard::pruning
