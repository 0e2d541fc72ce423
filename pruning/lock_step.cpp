// SPDX-License-Identifier: Apache-2.0
#include "pruning/lock_step.h"

#include "graph/error.h"

namespace pollard::pruning {
namespace {

/// Ends the other side's run when the caller needs no more values.
struct Stopped {};

}  // namespace

void HeldValues::see(graph::ValueId value, const at::Tensor& tensor) {
  if (const auto found = wanted_.find(value); found != wanted_.end()) found->second.tensor = tensor;
}

at::Tensor HeldValues::take(graph::ValueId value) {
  const auto found = wanted_.find(value);
  if (found == wanted_.end()) return {};
  at::Tensor out = found->second.tensor;
  if (--found->second.times == 0) wanted_.erase(found);
  return out;
}

LockStep::LockStep(const graph::Program& program, const kernels::Weights& weights,
                   std::vector<at::Tensor> inputs, Stops stops) {
  thread_ = std::thread([this, program, weights, inputs = std::move(inputs), stops = std::move(stops)] {
    try {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return wanted_ || stop_; });
        if (stop_) return;
      }
      kernels::RunOptions options;
      HeldValues earlier;
      for (const auto& [_, wanted] : stops.results) earlier.want(wanted);
      options.after_value = [&](graph::ValueId value, at::Tensor& tensor) {
        if (const auto stop = stops.results.find(value); stop != stops.results.end())
          offer({.value = value, .op = -1, .content = {tensor, earlier.take(stop->second)}});
        earlier.see(value, tensor);
      };
      options.before_op = [&](const graph::Op&, std::size_t index, std::vector<c10::IValue>& stack) {
        if (stops.arguments.contains(index))
          offer({.value = {}, .op = static_cast<std::int64_t>(index), .content = stack});
        return false;
      };
      kernels::Executor(program).run(weights, inputs, options);
    } catch (const Stopped&) {
    } catch (...) {
      error_ = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  });
}

LockStep::~LockStep() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void LockStep::offer(Offer offer) {
  std::unique_lock lock(mutex_);
  offered_ = std::move(offer);
  wanted_ = false;
  changed_.notify_all();
  changed_.wait(lock, [&] { return wanted_ || stop_; });
  if (stop_) throw Stopped();
}

LockStep::Offer LockStep::next() {
  std::unique_lock lock(mutex_);
  wanted_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return offered_ || done_; });
  if (error_) std::rethrow_exception(error_);
  POLLARD_CHECK(offered_, "one network has fewer stops than the other");
  Offer out = std::move(*offered_);
  offered_.reset();
  return out;
}

LockStep::Taken LockStep::take(graph::ValueId value) {
  Offer offer = next();
  POLLARD_CHECK(offer.value == value, "the two networks do not visit the same stops in the same order");
  return {.result = offer.content[0].toTensor(), .earlier = offer.content[1].toTensor()};
}

std::vector<c10::IValue> LockStep::take_arguments(std::size_t op) {
  Offer offer = next();
  POLLARD_CHECK(offer.op == static_cast<std::int64_t>(op),
                "the two networks do not visit the same stops in the same order");
  return std::move(offer.content);
}

}  // namespace pollard::pruning
