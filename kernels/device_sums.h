// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

namespace pollard::kernels {

/// Sums over processes that never leave their GPUs: NCCL, which comes with LibTorch's CUDA libraries and is loaded when it is
/// asked for. The communicator uses it for tensors on CUDA devices when every process has a device of its own.
class DeviceSums {
 public:
  /// What process 0 makes and all others are given, 128 bytes; "" where there is no NCCL.
  static std::string fresh_id();

  /// All processes call this at once, each with the CUDA device it will work on as the current one. Throws UserError E0514
  /// (Exit::Environment) when they cannot be joined.
  DeviceSums(const std::string& id, int rank, int size);
  ~DeviceSums();
  DeviceSums(const DeviceSums&) = delete;
  DeviceSums& operator=(const DeviceSums&) = delete;

  /// Sums in place, on a stream of its own, after what the current stream has been given so far.
  void start(const at::Tensor& tensor);
  /// What the current stream is given from now on comes after all sums started before.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollard::kernels
