// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/measure.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "cli/bench/memory_meter.h"

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
  for (const auto& [name, tensor] : weights)
    if (seen.insert(tensor.data_ptr()).second) bytes += static_cast<std::int64_t>(tensor.nbytes());
  return bytes;
}

void wait_for(c10::Device device) {
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

}  // namespace

Contestant::Contestant(const models::Model& model, const Shapes& shapes, std::optional<at::ScalarType> type,
                       c10::Device device, std::uint64_t seed)
    : executor_(model.program),
      weights_(kernels::convert(model.weights, type, device)),
      inputs_(placed(inputs_of_shapes(model, shapes, seed), type, device)),
      type_(type),
      device_(device) {
  if (!inputs_.empty() && inputs_[0].dim() > 0) rows_ = inputs_[0].size(0);
}

void Contestant::forward() {
  kernels::RunOptions options;
  options.compute_type = type_;
  options.device = device_;
  executor_.run(weights_, inputs_, options);
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
