// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>

#include "models/onnx/onnx_graph.h"

namespace pollard::models::onnx {

struct FileOptions {
  bool force = false;
  /// Weights of more bytes than this in all go to a second file beside the first, FILE.data: a protobuf message ends at
  /// 2 GiB. Small tensors stay inside.
  std::uint64_t most_inside = (std::uint64_t{1} << 31) - (std::uint64_t{1} << 24);
};

/// Writes an .onnx file (and FILE.data when it must), atomically. The bytes are protobuf's, written by wire.h: LibTorch
/// exports parts of a protobuf of its own to which the system's library would bind, and Debian's ONNX ends at opset 17.
void save(const OnnxGraph& graph, const std::filesystem::path& path, const FileOptions& options = {});

}  // namespace pollard::models::onnx
