// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <set>

#include "pruning/verify.h"

namespace pollard::pruning {
namespace {

using graph::Program;
using graph::ValueId;

/// Rows of the table an integer input ends up indexing, followed through ops that keep integers; 2 when none does.
std::int64_t index_range(const Program& program, ValueId input) {
  std::set<ValueId> same{input};
  std::int64_t range = 0;
  for (const graph::Op& op : program.ops) {
    const std::string_view name = op.base_name();
    const auto indices = op.tensor(name == "embedding" || name == "embedding_bag" ? "indices" : "index");
    const auto table = op.tensor(name.starts_with("embedding") ? "weight" : "self");
    if (indices && table && same.contains(*indices)) {
      const auto dim = static_cast<std::size_t>(name.starts_with("embedding") ? 0 : op.int_or("dim", 0));
      const std::int64_t rows = program[*table].shape[dim].hint;
      range = range == 0 ? rows : std::min(range, rows);
    }
    const auto self = op.tensor("self");
    const bool integer_result = !op.outputs.empty() &&
                                program[op.outputs[0]].kind == graph::Value::Kind::Tensor &&
                                (program[op.outputs[0]].dtype == graph::DType::Int64 ||
                                 program[op.outputs[0]].dtype == graph::DType::Int32);
    if (self && same.contains(*self) && integer_result) same.insert(op.outputs[0]);
  }
  return range == 0 ? 2 : range;
}

at::Tensor drawn(const Program& program, ValueId id, at::Generator generator) {
  const graph::Value& value = program[id];
  const at::ScalarType type = kernels::to_scalar_type(value.dtype);
  if (graph::is_floating(value.dtype)) return at::randn(value.sizes(), generator, at::kFloat).to(type);
  if (type == at::kBool) return at::ones(value.sizes(), at::kBool);
  return at::randint(index_range(program, id), value.sizes(), generator, at::TensorOptions().dtype(at::kLong))
      .to(type);
}

/// Another input of the sample's kind: what a model accepts once it accepts again within the range seen.
at::Tensor variation(const at::Tensor& sample, at::Generator generator) {
  if (sample.numel() == 0 || sample.scalar_type() == at::kBool) return sample;
  if (sample.is_floating_point()) {
    const at::Tensor f = sample.to(at::kDouble);
    const double mean = f.mean().item<double>(), spread = sample.numel() > 1 ? f.std().item<double>() : 1.0;
    return (at::randn(sample.sizes(), generator, at::kDouble) * spread + mean).to(sample.scalar_type());
  }
  if (!at::isIntegralType(sample.scalar_type(), false)) return sample;
  const auto low = sample.min().item<std::int64_t>(), high = sample.max().item<std::int64_t>();
  return at::randint(low, high + 1, sample.sizes(), generator, at::TensorOptions().dtype(at::kLong))
      .to(sample.scalar_type());
}

}  // namespace

std::vector<std::vector<at::Tensor>> example_inputs(const models::Model& model, int count,
                                                    std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<const graph::Input*> tensors;
  for (const graph::Input* input : model.program.user_inputs())
    if (!input->constant) tensors.push_back(input);
  std::vector<std::vector<at::Tensor>> out;
  for (int i = 0; i < count; ++i) {
    std::vector<at::Tensor> set;
    for (std::size_t k = 0; k < tensors.size(); ++k) {
      const bool sampled = model.sample_inputs.size() == tensors.size();
      if (!sampled)
        set.push_back(drawn(model.program, tensors[k]->value, generator));
      else
        set.push_back(i == 0 ? model.sample_inputs[k] : variation(model.sample_inputs[k], generator));
    }
    out.push_back(std::move(set));
  }
  return out;
}

}  // namespace pollard::pruning
