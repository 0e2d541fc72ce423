// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "models/io/torch_archive.h"

namespace pollard::models::io {

/// The state dict inside the tree of a .pt.
struct StateDict {
  std::string key;                           ///< path of the sub-tree; "" for the root
  std::vector<TorchArchive::Named> tensors;  ///< in the file's order
  std::vector<std::string> ignored;          ///< what lies beside them
};

/// Finds the state dict at `key`, or by the usual names when `key` is empty. Throws E0332, E0336, E0337,
/// E0338.
StateDict find_state_dict(const TorchArchive& archive, const std::string& key);

}  // namespace pollard::models::io
