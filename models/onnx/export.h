// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "models/model.h"
#include "models/onnx/onnx_file.h"
#include "models/onnx/onnx_graph.h"

namespace pollard::models::onnx {

/// The network in ONNX's words, ready for inference: batch norms are folded into the layer before, dropout is gone, and
/// what depends on weights alone is computed. The opset is 17, or 18 where an op needs it. Symbolic sizes stay symbolic.
/// Buffers that the network updates are not outputs. Throws UserError E0470 that names every op ONNX has no words for.
OnnxGraph translate(const Model& model);

/// translate() and save().
void export_onnx(const Model& model, const std::filesystem::path& path, const FileOptions& options = {});

}  // namespace pollard::models::onnx
