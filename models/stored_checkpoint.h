// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/io/safetensors.h"
#include "models/model.h"

namespace pollard::models {

/// A checkpoint that stays on disk: the network it holds, and where its tensors lie. What a network larger than memory
/// is planned and rewritten from.
struct StoredCheckpoint {
  Model model;                               ///< its weights are meta tensors: shapes and types without data
  std::filesystem::path index;               ///< model.safetensors.index.json; empty for a single file
  std::vector<io::SafetensorsReader> files;  ///< in the order of their names
  std::vector<std::string> names;            ///< of the files, without folders

  bool sharded() const { return !index.empty(); }
  std::uint64_t bytes() const;  ///< of all files
  /// What load() gives as Model::sha256, from the SHA-256 of each file in order.
  std::string sha256(const std::vector<std::string>& file_digests) const;
};

/// Reads headers only. `path`: a .safetensors file, an index of shards, or a folder that holds either; a config.json
/// beside them is read as load() does. Throws what load() throws, and E0460 for another format.
StoredCheckpoint open_stored(const std::filesystem::path& path, const LoadOptions& options = {});

}  // namespace pollard::models
