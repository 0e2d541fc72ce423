// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "models/family.h"
#include "models/model.h"

namespace pollard::models {

/// A family or one of its published sizes by name; nullopt when there is none.
struct BuiltIn {
  const Family* family;
  std::string spec_json;  ///< of the published size; "{}" for a family's default
};
std::optional<BuiltIn> find_built_in(std::string_view name);

/// A family's network without weights, captured: its parameters are meta tensors, so that a network of any size can be
/// analysed in the memory of its program.
Model weightless_model(const Family& family, std::string_view spec_json);

}  // namespace pollard::models
