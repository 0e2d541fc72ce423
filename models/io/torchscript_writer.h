// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "models/model.h"

namespace pollard::models::io {

/// Writes a TorchScript archive for programs that still load one (torch.jit.load, torch::jit::load): modules nested as
/// the state dict's names say, and a forward of the program's ops in order. Its state dict is the model's. PyTorch
/// itself calls the format deprecated and names torch.export as what follows it; .pt2 is that.
/// Throws UserError E0473 for arithmetic on sizes that TorchScript has no op for.
void save_torchscript(const Model& model, const std::filesystem::path& path, bool force);

}  // namespace pollard::models::io
