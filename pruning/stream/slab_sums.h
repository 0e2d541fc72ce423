// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "graph/dependencies.h"
#include "kernels/communicator.h"
#include "models/stored_checkpoint.h"
#include "pruning/scores.h"

namespace pollard::pruning {

/// How a checkpoint on disk is gone through.
struct StreamOptions {
  std::uint64_t memory_bytes = std::uint64_t{2} << 30;  ///< of buffers, all threads together
  std::function<void(std::uint64_t bytes)>
      progress;                          ///< told bytes done since the last call, from any thread
  std::filesystem::path spill_folder;    ///< where activations go that do not fit into the memory
  kernels::Communicator* job = nullptr;  ///< files are shared among its ranks; null: this process alone
};

/// Power sums of all weights that a network's groups touch, from one pass over the files: each file is read front to
/// back by one thread, piece by piece, hashed on the way. f16, bf16 and f8 become f32 a piece at a time. Sums are made in
/// the same order whatever the number of threads and ranks, so scores are the same bit for bit.
class StreamedSums final : public StoredWeights {
 public:
  /// Both arguments must outlive it.
  StreamedSums(const models::StoredCheckpoint& checkpoint, const graph::Dependencies& dependencies,
               StreamOptions options);

  /// The first call reads the files. Throws UserError E0304, E0509 and what reading throws.
  std::vector<std::vector<double>> power_sums(const std::string& name, std::span<const std::int64_t> dims,
                                              double p) override;
  /// Throws what reading throws.
  at::Tensor load(const graph::Input& input) override;
  std::uint64_t memory_bytes() const override { return options_.memory_bytes; }
  const std::filesystem::path& spill_folder() const override { return options_.spill_folder; }
  /// SHA-256 of each file; reads them when no sum was asked for.
  const std::vector<std::string>& digests();

 private:
  using DimSums = std::map<std::int64_t, std::vector<double>>;
  void read(double p);
  void read_file(std::size_t file, double p);
  void exchange();

  const models::StoredCheckpoint& checkpoint_;
  StreamOptions options_;
  std::map<std::string, std::pair<std::size_t, const models::io::TensorInfo*>>
      places_;                                            ///< file and entry of each tensor
  std::map<std::string, std::set<std::int64_t>> wanted_;  ///< dimensions of each weight that groups touch
  std::map<std::string, DimSums> sums_;                   ///< zeros until read
  std::vector<std::string> digests_;
  std::optional<double> power_;
};

/// Bytes of one piece when `threads` go through files under a memory bound: between 1 and 4 MiB.
std::uint64_t piece_bytes(std::uint64_t memory_bytes, std::size_t threads);

/// The files that this rank goes through.
std::vector<std::size_t> own_files(std::size_t files, const kernels::Communicator* job);

}  // namespace pollard::pruning
