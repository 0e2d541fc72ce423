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

/// Where the second network stops: after the first result of an op, or before an op for its arguments.
struct Stops {
  std::set<graph::ValueId> results;
  std::set<std::size_t> arguments;  ///< op indices
};

/// A second network that runs beside the caller, one stop at a time: it waits at each until the caller takes what it
/// has there, so at most one such thing exists. Only one of the two sides computes at any moment.
class LockStep {
 public:
  LockStep(const graph::Program& program, const kernels::Weights& weights, std::vector<at::Tensor> inputs,
           Stops stops);
  ~LockStep();
  LockStep(const LockStep&) = delete;
  LockStep& operator=(const LockStep&) = delete;

  /// The result at the next stop, which must be `value`: both networks visit stops in program order.
  at::Tensor take(graph::ValueId value);
  /// The full argument list at the next stop, which must be op `op`.
  std::vector<c10::IValue> take_arguments(std::size_t op);

 private:
  /// What waits at a stop.
  struct Offer {
    graph::ValueId value;  ///< of a result
    std::int64_t op = -1;  ///< of arguments
    std::vector<c10::IValue> content;
  };
  void offer(Offer offer);
  Offer next();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Offer> offered_;
  bool wanted_ = false, stop_ = false, done_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace pollard::pruning
