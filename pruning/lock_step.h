// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "models/model.h"

namespace pollard::pruning {

/// A second network that runs beside the caller, one wanted value at a time: it stops after each value of `wanted`
/// until the caller takes it, so at most one such value exists. Only one of the two sides computes at any moment.
class LockStep {
 public:
  LockStep(const graph::Program& program, const kernels::Weights& weights, std::vector<at::Tensor> inputs,
           std::set<graph::ValueId> wanted);
  ~LockStep();
  LockStep(const LockStep&) = delete;
  LockStep& operator=(const LockStep&) = delete;

  /// The next wanted value, which must be `value`: both networks visit them in program order.
  at::Tensor take(graph::ValueId value);

 private:
  void offer(graph::ValueId value, const at::Tensor& tensor);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::pair<graph::ValueId, at::Tensor>> offered_;
  bool wanted_ = false, stop_ = false, done_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace pollard::pruning
