// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/model.h"

namespace pollard::cli {

using Shapes = std::vector<std::vector<std::int64_t>>;

/// The shapes of the model's tensor inputs for a benchmark: its example's, or `given` (one an input), then with the
/// batch size replaced. The batch is the symbol of the first input's dimension 0; every size in it follows.
/// Throws UserError: E0203 when `given` does not fit, E0440 (Exit::Unsupported) when the model fixed its batch size.
Shapes input_shapes_for(const models::Model& model, const std::vector<std::vector<std::int64_t>>& given,
                        std::optional<std::int64_t> batch);

/// Inputs of those shapes with values drawn from the model's examples.
std::vector<at::Tensor> inputs_of_shapes(const models::Model& model, const Shapes& shapes,
                                         std::uint64_t seed);

}  // namespace pollard::cli
