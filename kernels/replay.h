// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "kernels/executor.h"

namespace pollard::kernels {

/// A run on a CUDA device, recorded once as a CUDA graph and replayed as a whole. At small batches most of a run's time is
/// what the CPU takes to launch its ops one by one; a replay launches them all at once. Weights and shapes are those of
/// the recording; the numbers computed are the executor's own.
class Replay {
 public:
  /// Runs twice to warm up, then records. The executor may go afterwards, `weights` must stay. `options.device` is a CUDA
  /// device; hooks and time_ops are not replayed and may not be set. Throws UserError E0415 (Exit::Unsupported) when an op
  /// waits for the device, so that the run cannot be recorded; E0510 in a build without CUDA.
  Replay(const Executor& executor, const Weights& weights, const std::vector<at::Tensor>& inputs,
         const RunOptions& options);
  ~Replay();
  Replay(Replay&&) noexcept;
  Replay& operator=(Replay&&) noexcept;

  /// Inputs as the recorded ones, on any device. Returns once launched; the results are valid until the next run.
  const std::vector<at::Tensor>& run(const std::vector<at::Tensor>& inputs);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollard::kernels
