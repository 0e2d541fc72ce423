// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "graph/program.h"

/// The allow-list of Python names. The text is as in the pickle: "module\nname".
namespace pollard::models::io::pickle {

enum class Callable {
  Foreign,
  OrderedDict,
  RebuildTensorV2,
  RebuildTensorV3,
  RebuildParameter,
  Parameter,
  RebuildFromType  ///< a tensor that carries Python attributes
};
Callable find_callable(std::string_view name);

/// Element type of "torch\nFloatStorage"; Unknown for "torch.storage\nUntypedStorage" (sizes in bytes);
/// nullopt for anything else.
std::optional<graph::DType> find_storage(std::string_view name);

/// "torch\nfloat16".
std::optional<graph::DType> find_dtype(std::string_view name);

/// In the allow-list, whatever it is.
bool is_known(std::string_view name);

}  // namespace pollard::models::io::pickle
