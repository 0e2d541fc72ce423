// SPDX-License-Identifier: Apache-2.0
#include "training/trained_model.h"

#include <ATen/ATen.h>

#include "pruning/calibration.h"
#include "pruning/rewrite.h"

namespace pollard::training {
namespace {

bool is_trained(const graph::Input& input, const at::Tensor& tensor) {
  return input.kind == graph::Input::Kind::Parameter && !input.constant && tensor.is_floating_point();
}

}  // namespace

TrainedModel::TrainedModel(models::Model model, at::Device device)
    : device_(device), model_(std::move(model)), dependencies_(graph::analyse(model_.program)) {
  std::map<const void*, at::Tensor> own;
  for (auto& [name, tensor] : model_.weights) {
    auto [entry, fresh] = own.try_emplace(tensor.unsafeGetTensorImpl());
    if (fresh) entry->second = tensor.detach().to(device_).clone(at::MemoryFormat::Contiguous);
    tensor = entry->second;
  }
  for (const graph::Input& input : model_.program.inputs) {
    if (input.kind == graph::Input::Kind::User || input.constant) continue;
    at::Tensor& tensor = model_.weights.at(input.source);
    if (!input.tied_to.empty()) tensor = model_.weights.at(input.tied_to);
    if (is_trained(input, tensor)) tensor.set_requires_grad(true);
  }
}

std::vector<Optimiser::Parameter> TrainedModel::parameters() const {
  std::vector<Optimiser::Parameter> out;
  for (const graph::Input& input : model_.program.inputs) {
    if (input.kind == graph::Input::Kind::User || input.constant || !input.tied_to.empty()) continue;
    const at::Tensor& tensor = model_.weights.at(input.source);
    if (is_trained(input, tensor)) out.push_back({input.source, tensor, tensor.dim() > 1});
  }
  return out;
}

graph::Cost TrainedModel::cost() const {
  return graph::CostModel(model_.program, dependencies_).evaluate(graph::full_widths(dependencies_));
}

const kernels::Executor& TrainedModel::executor(std::int64_t batch) {
  std::unique_ptr<kernels::Executor>& executor = executors_[batch];
  if (!executor)
    executor = std::make_unique<kernels::Executor>(pruning::with_batch(model_.program, dependencies_, batch));
  return *executor;
}

void TrainedModel::take_buffers(const kernels::Weights& changed) {
  for (const auto& [name, tensor] : changed) {
    const auto found = model_.weights.find(name);
    if (found != model_.weights.end() && !found->second.requires_grad()) found->second = tensor.detach();
  }
}

std::map<std::string, at::Tensor> TrainedModel::sliced(const std::map<std::string, at::Tensor>& kept,
                                                       const graph::Removal& removal) const {
  kernels::Weights all = snapshot().weights;  // the slicer wants one tensor for every name
  for (const auto& [name, tensor] : kept) all[name] = tensor.detach().cpu();
  const kernels::Weights smaller =
      pruning::slice_weights(model_.program, std::move(all), dependencies_, removal);
  std::map<std::string, at::Tensor> out;
  for (const auto& [name, tensor] : kept) out[name] = smaller.at(name);
  return out;
}

models::Model TrainedModel::snapshot() const { return with_weights(model_, model_.weights); }

models::Model with_weights(const models::Model& model, const kernels::Weights& weights) {
  models::Model out = model;
  std::map<const void*, at::Tensor> plain;
  for (auto& [name, tensor] : out.weights) {
    const auto found = weights.find(name);
    const at::Tensor& given = found == weights.end() ? tensor : found->second;
    auto [entry, fresh] = plain.try_emplace(given.unsafeGetTensorImpl());
    if (fresh) entry->second = given.detach().cpu();
    tensor = entry->second;
  }
  return out;
}

}  // namespace pollard::training
