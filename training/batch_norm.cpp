// SPDX-License-Identifier: Apache-2.0
#include "training/batch_norm.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace pollard::training {
namespace {

using kernels::Communicator;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Mean and (biased) variance over all processes, and how many numbers each was taken over.
struct Statistics {
  at::Tensor mean, variance;
  double count = 0;
};

Statistics statistics(const at::Tensor& x, Communicator& communicator) {
  const auto [mean, variance] = at::batch_norm_update_stats(x, {}, {}, 0);
  const std::int64_t channels = x.size(1);
  const auto count = static_cast<double>(x.numel() / channels);
  const at::Tensor m = mean.to(at::kDouble), v = variance.to(at::kDouble);
  at::Tensor sums = at::cat({m * count, (v + m.square()) * count, at::full({1}, count, at::kDouble)});
  communicator.all_reduce(sums);
  const double total = sums[2 * channels].item<double>();
  const at::Tensor all_mean = sums.slice(0, 0, channels) / total;
  const at::Tensor all_variance =
      (sums.slice(0, channels, 2 * channels) / total - all_mean.square()).clamp_min(0);
  return {all_mean.to(mean.scalar_type()), all_variance.to(mean.scalar_type()), total};
}

/// Normalisation by given statistics that depend on the inputs of all processes.
class Normalise : public torch::autograd::Function<Normalise> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& variance,
                            double epsilon, double count, std::int64_t communicator) {
    context->save_for_backward({x, weight, mean, variance});
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["count"] = count;
    context->saved_data["communicator"] = communicator;
    return std::get<0>(at::native_batch_norm(x, weight, bias, mean, variance, false, 0, epsilon));
  }

  // dx = gamma / sigma (dy - mean(dy) - xhat mean(dy xhat)); the evaluation-mode backward gives the first summand and,
  // as the gradients of beta and gamma, both sums.
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &variance = saved[3];
    const double epsilon = context->saved_data["epsilon"].toDouble();
    auto* communicator = reinterpret_cast<Communicator*>(context->saved_data["communicator"].toInt());
    const at::Tensor scale = weight.defined() ? weight : at::ones_like(mean);
    auto [dx, dweight, dbias] = at::native_batch_norm_backward(
        gradients[0].contiguous(), x, scale, mean, variance, {}, {}, false, epsilon, {true, true, true});
    at::Tensor sums = at::cat({dbias, dweight}).to(at::kDouble);
    communicator->all_reduce(sums);
    sums = (sums / context->saved_data["count"].toDouble()).to(mean.scalar_type());
    const std::int64_t channels = mean.numel();
    std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
    shape[1] = channels;
    const at::Tensor inverse = (variance + epsilon).rsqrt(), gain = scale * inverse;
    const at::Tensor slope = -gain * inverse * sums.slice(0, channels);
    const at::Tensor offset = -gain * sums.slice(0, 0, channels);
    const auto spread = [&](const at::Tensor& t) { return t.view(shape).to(x.scalar_type()); };
    // x - mean first: slope x and slope mean are large where their difference is not.
    dx.addcmul_(x.sub(spread(mean)), spread(slope)).add_(spread(offset));
    return {dx,
            weight.defined() ? dweight : at::Tensor(),
            weight.defined() ? dbias : at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

at::Tensor optional(const c10::IValue& value) { return value.isTensor() ? value.toTensor() : at::Tensor(); }

void move_towards(const at::Tensor& running, const at::Tensor& now, double momentum) {
  if (running.defined()) running.mul_(1 - momentum).add_(now, momentum);
}

at::Tensor shared(const std::vector<c10::IValue>& stack, double momentum, double epsilon,
                  Communicator& communicator) {
  const at::Tensor x = stack[0].toTensor().contiguous();
  Statistics s;
  {
    const c10::NoGradGuard no_grad;
    s = statistics(x.detach(), communicator);
    move_towards(optional(stack[3]), s.mean, momentum);
    move_towards(optional(stack[4]), s.variance * (s.count / std::max(1.0, s.count - 1)), momentum);
  }
  return Normalise::apply(x, optional(stack[1]), optional(stack[2]), s.mean, s.variance, epsilon, s.count,
                          reinterpret_cast<std::int64_t>(&communicator));
}

}  // namespace

kernels::OpHook train_batch_norm(Communicator& communicator) {
  return [&communicator](const graph::Op& op, std::size_t, std::vector<c10::IValue>& stack) {
    const std::string_view name = op.base_name();
    const bool fixed = name == "_native_batch_norm_legit_no_training";
    const bool plain = name == "batch_norm" && communicator.size() > 1;
    if ((!fixed && !plain) || !stack[3].isTensor()) return false;
    const double momentum = stack[fixed ? 5 : 6].toDouble(), epsilon = stack[fixed ? 6 : 7].toDouble();
    at::Tensor y;
    if (communicator.size() > 1)
      y = shared(stack, momentum, epsilon, communicator);
    else
      y = std::get<0>(at::native_batch_norm(stack[0].toTensor(), optional(stack[1]), optional(stack[2]),
                                            optional(stack[3]), optional(stack[4]), true, momentum, epsilon));
    stack.clear();
    stack.emplace_back(y);
    for (int empty = 0; fixed && empty < 2; ++empty) stack.emplace_back(at::empty({0}, y.options()));
    return true;
  };
}

}  // namespace pollard::training
