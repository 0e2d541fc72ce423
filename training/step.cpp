// SPDX-License-Identifier: Apache-2.0
// One step of training.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <fmt/format.h>

#include <cmath>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "training/batch_norm.h"
#include "training/trainer.h"

namespace pollard::training {
namespace {

/// Dropout draws from LibTorch's default generator, so it is set anew for every step: a resumed run needs no state of it.
void seed_generator(std::uint64_t seed, std::int64_t step, int rank, at::Device device) {
  Random random{seed, 3, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(rank)};
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard lock(generator.mutex());
  generator.set_current_seed(random.next());
}

/// Beta(alpha, alpha) by Jöhnk's method, whose chance of success is fair for the small alphas of mixup.
double beta(double alpha, Random& random) {
  for (;;) {
    const double x = std::pow(random.uniform(), 1 / alpha), y = std::pow(random.uniform(), 1 / alpha);
    if (x + y > 0 && x + y <= 1) return x / (x + y);
  }
}

[[noreturn]] void diverged(std::int64_t epoch, std::int64_t batch) {
  throw UserError({.code = "E0215",
                   .exit = Exit::Usage,
                   .subject = {},
                   .message = fmt::format("the loss is no finite number any more at epoch {}, step {}",
                                          epoch + 1, batch + 1),
                   .where = {},
                   .why = "the weights grew without bound, mostly because the learning rate is too high",
                   .help = "lower --lr, or give --warmup 1 or --clip 1"});
}

/// 1 0 3 2 5 4 ...: neighbours of a shuffled order are as good as any two, and lie in one process's share.
at::Tensor neighbours(std::int64_t count) {
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < count; ++i) order.push_back((i ^ 1) < count ? i ^ 1 : i);
  return at::tensor(order, at::kLong);
}

}  // namespace

Target Trainer::target_of(const Batch& batch, std::vector<at::Tensor>& inputs) const {
  Target target{.first = batch.target, .second = {}};
  if (options_.mixup <= 0 || !batch.target.defined() || !inputs[0].is_floating_point()) return target;
  Random random{options_.seed, 4, static_cast<std::uint64_t>(step_)};
  target.share = beta(options_.mixup, random);
  const at::Tensor other = neighbours(inputs[0].size(0)).to(inputs[0].device());
  inputs[0] = inputs[0] * target.share + inputs[0].index_select(0, other) * (1 - target.share);
  target.second = batch.target.index_select(0, other);
  return target;
}

Loss Trainer::forward(const Batch& batch, kernels::Weights& buffers) {
  std::vector<at::Tensor> inputs = batch.inputs;
  const Target target = target_of(batch, inputs);
  kernels::RunOptions run;
  run.autograd = run.train = true;
  run.device = options_.device;
  run.mutated = &buffers;
  run.before_op = train_batch_norm(communicator_);
  const Autocast autocast(options_.autocast, options_.device.type());
  if (distillation_) distillation_->watch(run, network_->model().program);
  const auto outputs = network_->executor(inputs[0].size(0)).run(network_->weights(), inputs, run);
  const c10::AutoGradMode with_gradients(true);
  Loss loss = loss_of(options_.objective, outputs, target, inputs);
  const auto sum = loss.sum.item<double>();
  if (!std::isfinite(sum)) diverged(epoch_, batch_);
  metrics_.add_loss(sum, loss.count);
  double count = loss.count;
  loss.count = agree_on_stop(count) ? -1 : 1;  // a sign for step(); the sum becomes the mean
  loss.sum = loss.sum / std::max(1.0, count);
  if (distillation_) {
    const double share = static_cast<double>(batch.samples.size()) / static_cast<double>(batch.global);
    loss.sum = distillation_->loss(loss.sum, share, inputs, outputs, parents_part());
  }
  return loss;
}

/// What is left of the parent's part of the loss at this step.
double Trainer::parents_part() const {
  if (!options_.distillation.annealed) return 1;
  const std::int64_t end = options_.epochs * batches_,
                     start = options_.prune ? batches_ * pruning_epoch(options_.prune_steps) : 0;
  return std::min(1.0, static_cast<double>(end - step_) / static_cast<double>(end - start));
}

/// Sums `count` over the processes; whether any of them was interrupted.
bool Trainer::agree_on_stop(double& count) const {
  if (communicator_.size() == 1) return models::io::cancel_requested();
  at::Tensor both = at::tensor({count, models::io::cancel_requested() ? 1.0 : 0.0}, at::kDouble);
  communicator_.all_reduce(both);
  count = both[0].item<double>();
  return both[1].item<double>() > 0;
}

void Trainer::clip() const {
  if (options_.clip <= 0) return;
  at::Tensor squares = at::zeros({}, at::TensorOptions(at::kDouble).device(options_.device));
  for (const Optimiser::Parameter& p : optimiser_->parameters())
    if (p.tensor.grad().defined()) squares += p.tensor.grad().square().sum(at::kDouble);
  const double norm = std::sqrt(squares.item<double>());
  if (norm <= options_.clip) return;
  for (const Optimiser::Parameter& p : optimiser_->parameters())
    if (p.tensor.grad().defined()) p.tensor.grad().mul_(options_.clip / (norm + 1e-6));
}

void Trainer::update(const kernels::Weights& buffers) {
  const c10::NoGradGuard no_grad;
  if (!options_.prune || pruned_ < options_.prune_steps) sparsity_->add_gradients(network_->weights(), step_);
  clip();
  optimiser_->step(schedule_.rate(step_));
  network_->take_buffers(buffers);
  for (auto& [name, tensor] : average_) {
    const at::Tensor& weight = network_->weights().at(name);
    if (tensor.is_floating_point())
      tensor.lerp_(weight.detach(), 1 - options_.average);
    else
      tensor.copy_(weight);
  }
}

bool Trainer::step(const Batch& batch) {
  seed_generator(options_.seed, step_, communicator_.rank(), options_.device);
  optimiser_->clear_gradients();
  kernels::Weights buffers;
  const Loss loss = forward(on_device(batch, options_.device), buffers);
  if (sum_) sum_->begin();
  loss.sum.backward();
  if (sum_) sum_->finish();
  update(buffers);
  return loss.count > 0;
}

}  // namespace pollard::training
