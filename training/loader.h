// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "kernels/communicator.h"
#include "training/augment.h"
#include "training/data/dataset.h"

namespace pollard::training {

/// What one step of one process works on.
struct Batch {
  std::vector<at::Tensor> inputs;  ///< samples along dimension 0
  at::Tensor target;               ///< undefined where the data has none
  std::vector<std::int64_t> samples;
  std::int64_t global = 0;  ///< samples of this step over all processes
};

struct LoaderOptions {
  std::int64_t batch = 128;  ///< samples a step, over all processes
  bool train = true;         ///< shuffle, augment, leave out the last batch where it is not whole
  bool skip_bad = false;     ///< a sample that does not read gives its place to the next that does
  int threads = 1;           ///< that read ahead; 0 reads when asked
  std::uint64_t seed = 0;
};

/// Batches of a data set in the order of an epoch. The order, every crop and every flip follow from the seed, the epoch
/// and the sample alone: the same for any number of threads and processes, and after a resume in mid-epoch.
class Loader {
 public:
  /// All three must outlive it.
  Loader(const Dataset& data, const Augmentation& augmentation, kernels::Communicator& communicator,
         LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  std::int64_t batches() const;  ///< of one epoch
  /// Begins an epoch at one of its batches.
  void start(std::int64_t epoch, std::int64_t first_batch = 0);
  /// The next batch, this process's share of it; none at the end of the epoch. Throws what reading a sample threw.
  std::optional<Batch> next();

  std::int64_t bad() const;  ///< different samples skipped so far

 private:
  Batch load(std::int64_t batch) const;
  Sample read(std::int64_t position, std::int64_t& index) const;
  void work(const std::stop_token& stop);
  void stop();

  const Dataset& data_;
  const Augmentation& augmentation_;
  kernels::Communicator& communicator_;
  LoaderOptions options_;
  std::int64_t epoch_ = 0, next_ = 0, claimed_ = 0;
  std::vector<std::int64_t> order_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::int64_t, Batch> ready_;
  std::exception_ptr failure_;
  mutable std::set<std::int64_t> bad_;
  std::vector<std::jthread> workers_;
};

}  // namespace pollard::training
