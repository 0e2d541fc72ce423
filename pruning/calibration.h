// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "graph/dependencies.h"
#include "models/model.h"

namespace pollard::pruning {

/// Samples for a network: one tensor a user input, all with the samples along dimension 0.
struct CalibrationSet {
  std::vector<at::Tensor> inputs;
  at::Tensor labels;  ///< class of each sample, int64 [samples]; undefined when there are none
  std::int64_t samples() const { return inputs.empty() ? 0 : inputs.front().size(0); }
};

/// Reads tensors named like the program's user inputs, or in order when names differ, from a .safetensors file.
/// Throws UserError E0390 when count, dtype or the shape of a sample does not fit the program.
CalibrationSet read_calibration(const std::filesystem::path& path, const graph::Program& program);

/// The program for `batch` samples: exported with a fixed batch size, its size arguments follow the batch axis the
/// way they follow a pruned one. Programs whose batch is symbolic are returned unchanged.
/// Throws UserError E0391 when an input has no batch dimension that stays one axis.
graph::Program with_batch(const graph::Program& program, const graph::Dependencies& dependencies,
                          std::int64_t batch);

}  // namespace pollard::pruning
