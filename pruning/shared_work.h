// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pollard::kernels {
class Communicator;
}

namespace pollard::pruning {

/// A process's part of work that is a sum over `count` things (samples, batches, groups), and the sums over all parts.
/// Each process of the job has the same `count` and makes the same calls in the same order. Where there are fewer things
/// than processes nothing is split: each does all of it and sum() leaves what it is given.
class SharedWork {
 public:
  SharedWork() = default;  ///< of this process alone
  /// `job` may be nullptr: this process does all.
  SharedWork(kernels::Communicator* job, std::int64_t count);

  std::int64_t begin() const { return begin_; }  ///< this process's things are [begin, end), in rank order
  std::int64_t end() const { return end_; }
  bool split() const { return job_ != nullptr; }

  /// Makes of every process's part of a sum the whole, the same bits everywhere; an undefined tensor, which is then
  /// undefined everywhere, stays. Types: those of kernels::Communicator.
  void sum(at::Tensor& part) const;
  void sum(double& part) const;

  /// Where this process's `own` rows lie among those of all processes, in rank order.
  struct Place {
    std::int64_t first = 0, all = 0;
  };
  Place place(std::int64_t own) const;

 private:
  kernels::Communicator* job_ = nullptr;  ///< nullptr where nothing is split
  std::int64_t begin_ = 0, end_ = 0;
};

}  // namespace pollard::pruning
