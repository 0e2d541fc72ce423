// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/io/safetensors.h"

namespace pollard::models::io {

/// A model split over several safetensors files, as Hugging Face writes it: an index that maps tensor names
/// to files beside it.
struct Shards {
  std::vector<SafetensorsReader> files;
  std::map<std::string, std::string> metadata;  ///< of the first file that has some
};

/// Opens every shard of an index and checks that index and shards name exactly the same tensors, each once.
/// Shard names must be plain names of the index's own folder. Throws E0340, and what SafetensorsReader
/// throws.
Shards open_shards(const std::filesystem::path& index, bool lenient);

}  // namespace pollard::models::io
