// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/communicator.h"

namespace pollard::training {

/// Sums gradients over all processes while they are still being computed: they are gathered in buckets, and a bucket's
/// sum is started as soon as its last gradient is there (Li et al., PyTorch Distributed, VLDB 2020). Buckets are started
/// in one order on every process: from the last parameters, whose gradients come first, to the first.
/// Memory: one copy of the gradients.
class GradientSum {
 public:
  /// `parameters`: leaves, in the order the network reads them. They are watched while this lives.
  GradientSum(kernels::Communicator& communicator, std::vector<at::Tensor> parameters,
              std::int64_t bucket_bytes = std::int64_t{1} << 20);
  ~GradientSum();
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  /// Before backward().
  void begin();
  /// After it: every parameter that got a gradient now has the sum of all processes' as grad(), until begin().
  void finish();

 private:
  struct Bucket {
    at::Tensor numbers;
    std::int64_t waiting = 0, members = 0;
    std::unique_ptr<kernels::Communicator::Pending> sum;
  };
  struct Place {
    std::size_t bucket;
    at::Tensor gradient;  ///< its part of the bucket, in its shape
    bool arrived = false;
    unsigned hook = 0;
  };
  void arrive(std::size_t parameter, const at::Tensor& gradient);
  void start(Bucket& bucket);

  kernels::Communicator& communicator_;
  std::vector<at::Tensor> parameters_;
  std::vector<Place> places_;  ///< by parameter
  std::vector<Bucket> buckets_;
  std::size_t next_ = 0;  ///< the bucket to be started next
};

}  // namespace pollard::training
