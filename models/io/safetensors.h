// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/io/file.h"
#include "models/io/safetensors_header.h"
#include "models/io/writer.h"

namespace pollard::models::io {

/// A safetensors file: its tensors described when it is opened, read one by one when asked for.
class SafetensorsReader {
 public:
  /// Reads the header; throws as read_safetensors_header() does.
  explicit SafetensorsReader(std::shared_ptr<const ByteSource> source, bool lenient = false);

  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  const ByteSource& source() const { return *source_; }

  /// Into memory of its own, on the CPU. Safe from several threads.
  at::Tensor read(const TensorInfo& info) const;
  /// All of them, in parallel.
  std::map<std::string, at::Tensor> read_all() const;

 private:
  std::shared_ptr<const ByteSource> source_;
  SafetensorsHeader header_;
};

using TensorMap = std::map<std::string, at::Tensor>;
using TextMap = std::map<std::string, std::string>;

/// Writes a safetensors file: the same tensors and metadata give the same bytes (and the ones the reference
/// writes). Tensors are written contiguous, from the CPU, one at a time; tensors that share memory are
/// written apart. Throws E0421 (Exit::Unsupported) for an element type the format lacks, E0315 for a name it
/// may not have.
void write_safetensors(Writer& out, const TensorMap& tensors, const TextMap& metadata);

/// What stands before the data of a file that holds these tensors (name, type and shape) in this order without gaps.
std::string safetensors_head(const std::vector<TensorInfo>& tensors, const TextMap& metadata);

/// Bytes write_safetensors() will write.
std::uint64_t safetensors_size(const TensorMap& tensors, const TextMap& metadata);

/// write_safetensors() through an AtomicFile.
void save_safetensors(const std::filesystem::path& path, const TensorMap& tensors, const TextMap& metadata,
                      bool force);

}  // namespace pollard::models::io
