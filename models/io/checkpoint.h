// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/io/file.h"
#include "models/io/safetensors_header.h"

namespace pollard::models::io {

struct CheckpointOptions {
  /// Path to the sub-tree of a .pt that holds the weights, keys joined by '.', such as "model" or
  /// "ema.model". When empty: the file's own tensors, or the one sub-tree that is a state dict, by its usual
  /// names.
  std::string key;
  bool check_crc = true;  ///< verify the CRCs of a zip
  bool lenient = false;   ///< ignore unknown fields in a safetensors header
  bool hash = true;       ///< fill Checkpoint::sha256
};

/// What a checkpoint file holds, without its data.
struct CheckpointInfo {
  std::string format;               ///< "safetensors", "safetensors shards", "pytorch zip"
  std::string key;                  ///< the sub-tree that was read; "" for the whole file
  std::vector<TensorInfo> tensors;  ///< by name
  std::map<std::string, std::string> metadata;
  /// Things in the file that are not weights: names of Python classes never called, keys beside the state
  /// dict.
  std::vector<std::string> ignored;
  std::uint64_t bytes = 0;  ///< of all files together
};

/// A checkpoint: a state dict by name, whatever file it came from.
struct Checkpoint {
  std::map<std::string, at::Tensor> tensors;  ///< CPU; tied weights of a .pt share their storage
  std::map<std::string, std::string> metadata;
  std::string format;
  std::string sha256;  ///< of the file's bytes; for shards, of the index's bytes and then each shard's digest
  std::vector<std::string> ignored;
};

/// Reads a state dict from a .safetensors file, a zip .pt or .pth, a model.safetensors.index.json, or a
/// folder that holds one of the two safetensors forms. Decided by content, never by extension. Throws
/// UserError and leaves nothing behind: see safetensors_header.h, zip_reader.h, pickle.h, torch_archive.h;
/// and E0336 (a PyTorch form that cannot be read without running code; gives the conversion line), E0337
/// (which sub-tree?), E0338 (no weights), E0332 (a foreign object among the weights), E0340 (shards).
Checkpoint read_checkpoint(const std::filesystem::path& path, const CheckpointOptions& options = {});
/// The same from one file's bytes; an index of shards is refused (E0303), because its shards lie elsewhere.
Checkpoint read_checkpoint(const std::shared_ptr<const ByteSource>& source,
                           const CheckpointOptions& options = {});
CheckpointInfo describe_checkpoint(const std::filesystem::path& path, const CheckpointOptions& options = {});

/// A folder stands for the safetensors model in it: its index of shards or its model.safetensors. Others are themselves.
std::filesystem::path model_file(const std::filesystem::path& path);

enum class FileFormat { Safetensors, TorchZip, TorchExport, ShardIndex };

/// By content. Throws E0303 or E0336 for anything else.
FileFormat detect_format(const ByteSource& source);

}  // namespace pollard::models::io
