// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "pruning/calibration.h"
#include "pruning/scores.h"
#include "pruning/shared_work.h"

namespace pollard::pruning {

/// Runs a network over its samples, batch by batch, so that memory does not grow with their number. A program exported
/// with a fixed batch is lengthened or shortened to `batch`; where that cannot be done it runs with its own batch size,
/// and samples that do not fill one are left out. Processes that share the samples (CalibrationSet::job) each run some of the
/// batches, which are the same for any number of them; what is added up over batches then goes through work().sum().
class SampleStream {
 public:
  SampleStream(const models::Model& model, const graph::Dependencies& dependencies,
               const CalibrationSet& calibration, std::int64_t batch);

  struct Batch {
    std::int64_t index = 0, first = 0, count = 0;
    at::Tensor labels;  ///< of these samples; undefined without
    at::Tensor mask;    ///< [count, positions]; undefined without
    /// What is drawn for a batch depends on it alone, not on the batches that ran before in this process.
    std::uint64_t seed(std::uint64_t of_run) const {
      return of_run * 1000003 + static_cast<std::uint64_t>(index);
    }
  };
  /// Sees each batch before it runs, and its outputs after.
  using Before = std::function<void(const Batch&)>;
  using After = std::function<void(const Batch&, const std::vector<at::Tensor>& outputs)>;

  /// `options` serves every batch.
  void run(const kernels::Weights& weights, const kernels::RunOptions& options, const Before& before,
           const After& after) const;

  /// As run(), for weights that are not in memory: the network in parts (stream/segments.h), each for all batches before
  /// the next, so that every weight is loaded once; activations between parts beyond a quarter of the memory go to the
  /// disk. `before` sees a batch each time a part of it runs; `part_done` learns how many ops have run for all batches. Not
  /// for samples that are shared.
  using PartDone = std::function<void(std::size_t ops)>;
  void run_by_parts(StoredWeights& weights, const kernels::RunOptions& options, const Before& before,
                    const After& after, const PartDone& part_done) const;

  std::int64_t samples() const { return samples_; }  ///< that are used, by all processes
  std::int64_t batch() const { return batch_; }
  const SharedWork& work() const { return work_; }  ///< on the batches

 private:
  std::vector<Batch> batches() const;
  at::Tensor part_of(const at::Tensor& all, const Batch& batch) const;
  kernels::RunOptions with_precision(kernels::RunOptions options) const;

  const CalibrationSet& calibration_;
  std::int64_t batch_, samples_;
  SharedWork work_;
  std::optional<kernels::Executor> whole_, rest_;  ///< for full batches and for what is left
};

}  // namespace pollard::pruning
