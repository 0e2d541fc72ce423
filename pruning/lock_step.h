// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "models/model.h"

namespace pollard::pruning {

/// Where the second network stops: after the first result of an op, or before an op for its arguments.
struct Stops {
  std::map<graph::ValueId, graph::ValueId> results;  ///< and an earlier value wanted with it, or none (-1)
  std::set<std::size_t> arguments;                   ///< op indices
};

/// Values of a run that are wanted again later, each as often as it was asked for, then let go.
class HeldValues {
 public:
  void want(graph::ValueId value) {
    if (value.index >= 0) ++wanted_[value].times;
  }
  void see(graph::ValueId value, const at::Tensor& tensor);
  at::Tensor take(graph::ValueId value);  ///< undefined for a value that nobody wanted

 private:
  struct Held {
    int times = 0;
    at::Tensor tensor;
  };
  std::map<graph::ValueId, Held> wanted_;
};

/// A second network that runs beside the caller, one stop at a time: it waits at each until the caller takes what it
/// has there, so at most one such thing exists (and the earlier values that later stops want). Only one of the two sides computes at any moment.
class LockStep {
 public:
  LockStep(const graph::Program& program, const kernels::Weights& weights, std::vector<at::Tensor> inputs,
           Stops stops);
  ~LockStep();
  LockStep(const LockStep&) = delete;
  LockStep& operator=(const LockStep&) = delete;

  /// The result at the next stop, which must be `value`: both networks visit stops in program order.
  struct Taken {
    at::Tensor result, earlier;  ///< `earlier` is undefined where none was wanted
  };
  Taken take(graph::ValueId value);
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
