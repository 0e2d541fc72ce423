// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/model_input.h"
#include "models/built_in.h"

namespace pollard::cli {

/// A built-in family or published size by name, with the fields of a --spec file ("" = none) over it. Throws UserError
/// E0203 with the nearest name.
models::BuiltIn built_in(const std::string& name, const std::string& spec_file);

/// The network --family and --spec name, without weights.
AnalysedModel analyse_built_in(const ModelInput& input);

}  // namespace pollard::cli
