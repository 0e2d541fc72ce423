// SPDX-License-Identifier: Apache-2.0
#include "pruning/calibration.h"

#include <ATen/ATen.h>

#include "graph/error.h"
#include "pruning/batch_positions.h"
#include "pruning/rewrite.h"

namespace pollard::pruning {
namespace {

std::vector<graph::ValueId> tensor_inputs(const graph::Program& program) {
  std::vector<graph::ValueId> out;
  for (const graph::Input* input : program.user_inputs())
    if (!input->constant) out.push_back(input->value);
  return out;
}

}  // namespace

CalibrationSet samples_between(const CalibrationSet& all, std::int64_t begin, std::int64_t end) {
  CalibrationSet out = all;
  const auto cut = [&](at::Tensor& t) {
    if (t.defined()) t = t.slice(0, begin, end);
  };
  for (at::Tensor& input : out.inputs) cut(input);
  cut(out.labels);
  cut(out.mask);
  return out;
}

at::Tensor padding_mask(const graph::Program& program, const std::vector<at::Tensor>& inputs) {
  const std::vector<graph::ValueId> values = tensor_inputs(program);
  at::Tensor out;
  for (std::size_t k = 0; k < values.size() && k < inputs.size(); ++k) {
    const graph::Value& value = program[values[k]];
    if (value.name.find("mask") != std::string::npos && inputs[k].dim() == 2 &&
        !graph::is_floating(value.dtype))
      out = inputs[k];
  }
  return out;
}

at::Tensor counted_rows(const at::Tensor& x, const at::Tensor& mask) {
  if (!mask.defined() || x.dim() < 2) return x;
  const bool apart = x.dim() >= 3 && x.size(0) == mask.size(0) && x.size(1) == mask.size(1),
             joined = x.dim() == 2 && mask.size(1) > 1 && x.size(0) == mask.numel();
  if (!apart && !joined) return x;
  const at::Tensor rows = x.reshape({-1, x.size(-1)});
  const std::int64_t inner = rows.size(0) / mask.numel();
  const at::Tensor kept = mask.reshape({-1, 1}).ne(0).expand({mask.numel(), inner}).reshape({-1});
  return rows.index_select(0, kept.nonzero().squeeze(1));
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
  graph::Program out = resize(program, d, graph::Removal(d), widths);
  repeat_first_position(out, program);
  return out;
}

}  // namespace pollard::pruning
