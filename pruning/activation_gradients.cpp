// SPDX-License-Identifier: Apache-2.0
#include "pruning/activation_gradients.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace pollard::pruning {
namespace {

using Kind = Contraction::Kind;

/// [samples, channels] of a product of the activation's shape; channels of all groups of a convolution are added.
at::Tensor by_sample(const Contraction& c, const graph::Op& op, const at::Tensor& product) {
  const std::int64_t samples = product.size(0);
  if (c.kind == Kind::Convolution || c.kind == Kind::Transposed)
    return product
        .reshape({samples, std::max<std::int64_t>(1, op.int_or("groups", 1)), -1,
                  product.numel() / (samples * product.size(1))})
        .sum(at::IntArrayRef{1, 3}, false, at::kDouble);
  return product.reshape({samples, -1, product.size(-1)}).sum(1, false, at::kDouble);
}

}  // namespace

void ActivationGradients::watch(std::size_t k, const graph::Op& op, const at::Tensor& activation,
                                const Visit& visit) const {
  if (!activation.requires_grad()) return;
  const Contraction& c = contractions_[k];
  const at::Tensor value = activation.detach();
  activation.register_hook([&c, &visit, k, op, value](const at::Tensor& gradient) {
    const c10::NoGradGuard no_grad;
    at::Tensor product = value * gradient;
    if (c.swapped) product = product.transpose(-1, -2);
    visit(k, by_sample(c, op, product));
  });
}

SharedWork ActivationGradients::run(const Visit& visit, double& samples) const {
  std::map<std::string, std::vector<std::size_t>> by_op;
  for (std::size_t k = 0; k < contractions_.size(); ++k) {
    const bool inner = contractions_[k].kind == Kind::Recurrent && contractions_[k].part != 0;
    if (!inner) by_op[context_.model.program.ops[contractions_[k].op].name].push_back(k);
  }
  GradientOptions options{.loss = loss_, .batch = batch_, .before_op = {}, .before_batch = {}};
  options.before_op = [&](const graph::Op& op, std::size_t, std::vector<c10::IValue>& stack) {
    if (const auto found = by_op.find(op.name); found != by_op.end())
      for (std::size_t k : found->second) {
        const Contraction& c = contractions_[k];
        watch(k, op, stack[c.kind == Kind::Recurrent ? 0 : c.x].toTensor(), visit);
      }
    return false;
  };
  samples = 0;
  const SharedWork work = for_each_gradient(context_, options, [&](const Gradients&, std::int64_t count) {
    samples += static_cast<double>(count);
  });
  work.sum(samples);
  return work;
}

void ConsumedUnits::add(const at::Tensor& products) {
  if (!sum.defined()) {
    std::vector<std::int64_t> from, to;
    for (std::size_t unit = 0; unit < consumer.channels.size(); ++unit)
      for (std::int64_t channel : consumer.channels[unit]) {
        from.push_back(channel);
        to.push_back(static_cast<std::int64_t>(unit));
      }
    channels = at::tensor(from, at::TensorOptions().dtype(at::kLong));
    units = at::tensor(to, at::TensorOptions().dtype(at::kLong));
    sum = at::zeros({static_cast<std::int64_t>(consumer.channels.size())}, at::kDouble);
  }
  const at::Tensor by_unit = at::zeros({products.size(0), sum.size(0)}, at::kDouble)
                                 .index_add(1, units, products.index_select(1, channels));
  sum += by_unit.abs().sum(0);
}

std::vector<double> ConsumedUnits::means(double samples) const {
  const at::Tensor all = (sum / samples).contiguous();
  return {all.const_data_ptr<double>(), all.const_data_ptr<double>() + all.numel()};
}

}  // namespace pollard::pruning
