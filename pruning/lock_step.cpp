// SPDX-License-Identifier: Apache-2.0
#include "pruning/lock_step.h"

#include "graph/error.h"

namespace pollard::pruning {
namespace {

/// Ends the other side's run when the caller needs no more values.
struct Stopped {};

}  // namespace

LockStep::LockStep(const graph::Program& program, const kernels::Weights& weights,
                   std::vector<at::Tensor> inputs, std::set<graph::ValueId> wanted) {
  thread_ = std::thread([this, program, weights, inputs = std::move(inputs), wanted = std::move(wanted)] {
    try {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return wanted_ || stop_; });
        if (stop_) return;
      }
      kernels::RunOptions options;
      options.after_value = [&](graph::ValueId value, at::Tensor& tensor) {
        if (wanted.contains(value)) offer(value, tensor);
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

void LockStep::offer(graph::ValueId value, const at::Tensor& tensor) {
  std::unique_lock lock(mutex_);
  offered_ = {value, tensor};
  wanted_ = false;
  changed_.notify_all();
  changed_.wait(lock, [&] { return wanted_ || stop_; });
  if (stop_) throw Stopped();
}

at::Tensor LockStep::take(graph::ValueId value) {
  std::unique_lock lock(mutex_);
  wanted_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return offered_ || done_; });
  if (error_) std::rethrow_exception(error_);
  POLLARD_CHECK(offered_ && offered_->first == value,
                "the two networks do not visit the same values in the same order");
  at::Tensor out = std::move(offered_->second);
  offered_.reset();
  return out;
}

}  // namespace pollard::pruning
