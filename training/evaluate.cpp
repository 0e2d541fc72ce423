// SPDX-License-Identifier: Apache-2.0
#include "training/evaluate.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

#include "models/io/cancel.h"

namespace pollard::training {

Autocast::Autocast(bool wanted, c10::DeviceType device) : wanted_(wanted), device_(device) {
  if (!wanted_) return;
  at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!wanted_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, false);
}

Batch on_device(Batch batch, at::Device device) {
  for (at::Tensor& input : batch.inputs) input = input.to(device);
  if (batch.target.defined()) batch.target = batch.target.to(device);
  return batch;
}

namespace {

/// Whether this process or another one was interrupted: all or none go on.
bool any_cancelled(kernels::Communicator& communicator) {
  at::Tensor processes = at::tensor({models::io::cancel_requested() ? 1.0 : 0.0}, at::kDouble);
  communicator.all_reduce(processes);
  return processes.item<double>() > 0;
}

}  // namespace

Metrics evaluate(TrainedModel& network, const kernels::Weights& weights, const Dataset& data,
                 const Augmentation& augmentation, kernels::Communicator& communicator,
                 const EvaluationOptions& options, TrainedModel* reference) {
  Loader loader(
      data, augmentation, communicator,
      {.batch = options.batch, .train = false, .skip_bad = options.skip_bad, .threads = options.loaders});
  Metrics metrics;
  std::int64_t done = 0;
  loader.start(0);
  while (const std::optional<Batch> read = loader.next()) {
    if (models::io::cancel_requested()) break;
    const Batch batch = on_device(*read, network.device());
    done += batch.global;
    if (options.progress) options.progress(done);
    if (batch.samples.empty()) continue;
    const auto count = static_cast<std::int64_t>(batch.samples.size());
    const Autocast autocast(options.autocast, network.device().type());
    kernels::RunOptions run;
    run.device = network.device();
    const auto outputs = network.executor(count).run(weights, batch.inputs, run);
    at::Tensor compared;
    if (reference) compared = reference->executor(count).run(reference->weights(), batch.inputs, run).at(0);
    metrics.add(options.objective, outputs, {.first = batch.target, .second = {}}, batch.inputs, compared);
  }
  if (any_cancelled(communicator)) models::io::throw_cancelled();
  metrics.reduce(communicator);
  return metrics;
}

}  // namespace pollard::training
