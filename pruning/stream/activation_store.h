// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "graph/program.h"

namespace pollard::pruning {

/// Activations between the parts of a network, by batch and value: in memory up to a bound, the rest in a file without a
/// name that goes away with the process.
class ActivationStore {
 public:
  using Key = std::pair<std::int64_t, graph::ValueId>;  ///< batch, value

  /// `folder`: on the disk that takes what does not fit into `memory_bytes`; nothing is written there before.
  ActivationStore(std::filesystem::path folder, std::uint64_t memory_bytes)
      : folder_(std::move(folder)), memory_bytes_(memory_bytes) {}
  ~ActivationStore();
  ActivationStore(const ActivationStore&) = delete;
  ActivationStore& operator=(const ActivationStore&) = delete;

  /// Memory layout is kept where the elements fill their memory without gaps: what reads them sums in the same order.
  /// Throws UserError E0501 when the disk is full, E0502 and E0503 for other failures.
  void put(const Key& key, const at::Tensor& tensor);
  at::Tensor get(const Key& key) const;
  void drop(const Key& key);

  std::uint64_t most_in_memory() const { return most_in_memory_; }
  std::uint64_t most_on_disk() const { return file_bytes_; }

 private:
  struct Entry {
    at::Tensor tensor;  ///< or, when it is on the disk, undefined:
    std::vector<std::int64_t> shape, strides;
    at::ScalarType type = at::kFloat;
    std::uint64_t offset = 0, bytes = 0;
  };
  void spill(Entry& entry, const at::Tensor& tensor);
  [[noreturn]] void fail(const char* action) const;

  std::filesystem::path folder_;
  std::uint64_t memory_bytes_;
  std::map<Key, Entry> entries_;
  std::map<std::uint64_t, std::vector<std::uint64_t>> free_;  ///< places in the file, by their size
  int fd_ = -1;
  std::uint64_t in_memory_ = 0, most_in_memory_ = 0, file_bytes_ = 0;
};

}  // namespace pollard::pruning
