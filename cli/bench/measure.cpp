// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/measure.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "cli/bench/memory_meter.h"
#include "graph/error.h"
#include "kernels/lowering/lowering.h"

namespace pollard::cli {
namespace {

std::vector<at::Tensor> placed(std::vector<at::Tensor> inputs, std::optional<at::ScalarType> type,
                               c10::Device device) {
  for (at::Tensor& input : inputs) {
    input = input.to(device);
    if (type && input.is_floating_point()) input = input.to(*type);
  }
  return inputs;
}

std::int64_t bytes_of(const kernels::Weights& weights) {
  std::set<const void*> seen;
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : weights) {
    const bool packed = tensor.is_mkldnn();  // opaque: of about the size it had
    const void* memory = packed ? tensor.unsafeGetTensorImpl() : tensor.data_ptr();
    const auto size = tensor.numel() * static_cast<std::int64_t>(tensor.dtype().itemsize());
    if (seen.insert(memory).second) bytes += packed ? size : static_cast<std::int64_t>(tensor.nbytes());
  }
  return bytes;
}

void check_lowerable(std::optional<at::ScalarType> type, c10::Device device) {
  const at::ScalarType wanted = type.value_or(at::kFloat);
  if (device.is_cuda() || wanted == at::kFloat || (wanted == at::kBFloat16 && kernels::multiplies_bf16()))
    return;
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = "--kernels",
                   .message = wanted == at::kBFloat16 ? "this CPU does not multiply bf16"
                                                      : "pollard's kernels for a CPU run f32 and bf16",
                   .help = "use --kernels torch for other types"});
}

/// The program that runs; `weights` become those it needs.
graph::Program prepared(const graph::Program& program, kernels::Weights& weights,
                        std::optional<at::ScalarType> type, c10::Device device, Kernels kernels) {
  graph::Program out = program;
  if (kernels == Kernels::Pollard) {
    check_lowerable(type, device);
    kernels::Lowered lowered =
        kernels::lower(program, weights, {.device = device.type(), .type = type.value_or(at::kFloat)});
    weights = std::move(lowered.weights);
    out = std::move(lowered.program);
  }
  weights = kernels::convert(weights, type, device);
  return out;
}

void wait_for(c10::Device device) {
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

}  // namespace

Contestant::Contestant(const models::Model& model, const Shapes& shapes, std::optional<at::ScalarType> type,
                       c10::Device device, std::uint64_t seed, Kernels kernels)
    : weights_(model.weights),
      executor_(prepared(model.program, weights_, type, device, kernels)),
      inputs_(placed(inputs_of_shapes(model, shapes, seed), type, device)),
      type_(type),
      device_(device) {
  if (kernels == Kernels::Pollard && device.is_cuda())
    replay_.emplace(executor_, weights_, inputs_, options());
  if (!inputs_.empty() && inputs_[0].dim() > 0) rows_ = inputs_[0].size(0);
}

kernels::RunOptions Contestant::options() const {
  kernels::RunOptions options;
  options.compute_type = type_;
  options.device = device_;
  return options;
}

void Contestant::forward() {
  if (replay_)
    replay_->run(inputs_);
  else
    executor_.run(weights_, inputs_, options());
  wait_for(device_);
}

double Contestant::run() {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  forward();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::int64_t Contestant::measure_memory() {
  const MemoryMeter meter;
  forward();
  return bytes_of(weights_) + meter.peak();
}

std::vector<Timing> race(std::vector<Contestant>& contestants, int warmup, int repeat,
                         const std::function<void()>& after_round) {
  std::vector<Timing> timings(contestants.size());
  for (std::size_t c = 0; c < contestants.size(); ++c)
    timings[c] = {
        .seconds = {}, .rows = contestants[c].rows(), .peak_bytes = contestants[c].measure_memory()};
  for (int round = -warmup; round < repeat; ++round) {
    for (std::size_t c = 0; c < contestants.size(); ++c) {
      const double seconds = contestants[c].run();
      if (round >= 0) timings[c].seconds.push_back(seconds);
    }
    after_round();
  }
  for (Timing& timing : timings) std::sort(timing.seconds.begin(), timing.seconds.end());
  return timings;
}

}  // namespace pollard::cli
