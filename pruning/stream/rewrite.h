// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "graph/removal.h"
#include "models/stored_checkpoint.h"
#include "pruning/stream/slab_sums.h"

namespace pollard::pruning {

/// What one streamed rewrite did.
struct StreamReport {
  std::uint64_t bytes_read = 0, bytes_written = 0;  ///< of this process, this time
  std::size_t files = 0, resumed = 0;  ///< written in all; of them whole already from an interrupted run
  std::string sha256;                  ///< of the result, as load() gives it
  std::size_t slices_compared = 0;     ///< random slices of the result found equal to the original's bytes
};

struct StreamTarget {
  std::filesystem::path out;     ///< a folder for shards, a file for a single file
  std::string plan_hash;         ///< names the run that an interrupted one may be resumed by
  models::io::TextMap metadata;  ///< of the result: plan, provenance, the smaller program
  bool force = false;
};

/// Writes the smaller checkpoint from disk to disk: the same files with the same tensors, sliced. A tensor's kept rows
/// are read in runs, its other dimensions gathered in a buffer; nothing that leaves is read where whole rows leave.
///
/// Each file appears whole or not at all and is entered, with its SHA-256, in `out`/.pollard-stream.RANK.json; the index
/// comes last, so that an unfinished folder is no model. Run again with the same input and plan, files that are entered
/// and still have their hash are not written again. Config and weights are pollard's; tokenizer files are copied.
/// Throws UserError E0224 when `out` holds another model and `force` is off, E0501 and others of AtomicFile.
StreamReport rewrite_stored(const models::StoredCheckpoint& checkpoint,
                            const graph::Dependencies& dependencies, const graph::Removal& removal,
                            const StreamTarget& target, const StreamOptions& options);

/// Compares `count` random runs of bytes of the result with the original's. Throws InternalError at a difference.
std::size_t compare_slices(const models::StoredCheckpoint& original, const models::StoredCheckpoint& result,
                           const graph::Dependencies& dependencies, const graph::Removal& removal,
                           std::size_t count, std::uint64_t seed);

}  // namespace pollard::pruning
