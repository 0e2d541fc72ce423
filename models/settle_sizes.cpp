// SPDX-License-Identifier: Apache-2.0
#include "models/settle_sizes.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cctype>

namespace pollard::models {
namespace {

/// Whether an expression mentions u<digits>: a name that starts there, not the middle of another.
bool data_dependent(const std::string& expr) {
  for (std::size_t i = 0; i + 1 < expr.size(); ++i) {
    const bool starts =
        i == 0 || !(std::isalnum(static_cast<unsigned char>(expr[i - 1])) || expr[i - 1] == '_');
    if (expr[i] == 'u' && starts && std::isdigit(static_cast<unsigned char>(expr[i + 1]))) return true;
  }
  return false;
}

bool data_dependent(const graph::Value& value) {
  return std::ranges::any_of(value.shape, [](const graph::Size& size) { return data_dependent(size.expr); });
}

}  // namespace

void settle_data_dependent_sizes(Model& model) {
  graph::Program& program = model.program;
  if (std::ranges::none_of(program.values, [](const graph::Value& v) { return data_dependent(v); })) return;
  const auto tensors = std::ranges::count_if(program.inputs, [](const graph::Input& input) {
    return input.kind == graph::Input::Kind::User && !input.constant;
  });
  if (static_cast<std::size_t>(tensors) != model.sample_inputs.size()) return;
  kernels::RunOptions options;
  options.after_value = [&](graph::ValueId id, at::Tensor& tensor) {
    graph::Value& value = program[id];
    if (!data_dependent(value) || static_cast<std::size_t>(tensor.dim()) != value.shape.size()) return;
    for (std::size_t d = 0; d < value.shape.size(); ++d)
      value.shape[d].hint = tensor.size(static_cast<std::int64_t>(d));
    value.strides.clear();
    value.stride_exprs.clear();
  };
  kernels::Executor(program).run(model.weights, model.sample_inputs, options);
}

}  // namespace pollard::models
