// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "pruning/calibration.h"
#include "pruning/scores.h"

namespace pollard::pruning {

/// Runs a network over its samples, batch by batch, so that memory does not grow with their number. A program exported
/// with a fixed batch is lengthened or shortened to `batch`; where that cannot be done it runs with its own batch size,
/// and samples that do not fill one are left out.
class SampleStream {
 public:
  SampleStream(const models::Model& model, const graph::Dependencies& dependencies,
               const CalibrationSet& calibration, std::int64_t batch);

  struct Batch {
    std::int64_t index = 0, first = 0, count = 0;
    at::Tensor labels;  ///< of these samples; undefined without
    at::Tensor mask;    ///< [count, positions]; undefined without
  };
  /// Sees each batch before it runs, and its outputs after.
  using Before = std::function<void(const Batch&)>;
  using After = std::function<void(const Batch&, const std::vector<at::Tensor>& outputs)>;

  /// `options` serves every batch.
  void run(const kernels::Weights& weights, const kernels::RunOptions& options, const Before& before,
           const After& after) const;

  /// As run(), for weights that are not in memory: the network in parts (stream/segments.h), each for all batches before
  /// the next, so that every weight is loaded once; activations between parts beyond a quarter of the memory go to the
  /// disk. `before` sees a batch each time a part of it runs; `part_done` learns how many ops have run for all batches.
  using PartDone = std::function<void(std::size_t ops)>;
  void run_by_parts(StoredWeights& weights, const kernels::RunOptions& options, const Before& before,
                    const After& after, const PartDone& part_done) const;

  std::int64_t samples() const { return samples_; }  ///< that are used
  std::int64_t batch() const { return batch_; }

 private:
  std::vector<Batch> batches() const;
  at::Tensor part_of(const at::Tensor& all, const Batch& batch) const;
  kernels::RunOptions with_precision(kernels::RunOptions options) const;

  const CalibrationSet& calibration_;
  std::int64_t batch_, samples_;
  std::optional<kernels::Executor> whole_, rest_;  ///< for full batches and for what is left
};

}  // namespace pollard::pruning
