// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "models/io/writer.h"
#include "models/model.h"

namespace pollard::models::io {

/// Writes a torch.export archive that Python's torch.export.load opens: graph, weights (tied names share one record),
/// sample inputs, and Model::metadata under extra/. Weights stream from where they are; the same model gives the same
/// bytes. `root` is the archive's root directory.
void write_pt2(Writer& out, const Model& model, const std::string& root = "model");

/// write_pt2() through an AtomicFile.
void save_pt2(const Model& model, const std::filesystem::path& path, bool force);

}  // namespace pollard::models::io
