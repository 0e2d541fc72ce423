// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "graph/program.h"
#include "kernels/executor.h"
#include "models/network.h"

namespace pollard::models {

/// One forward run written down.
struct Trace {
  graph::Program program;      ///< every size a plain number, every op argument present
  kernels::Weights constants;  ///< tensors the forward function made without a recorded op, by Input::source
  Result result;
};

/// Runs `network` once on `inputs` and records each outermost dispatcher call (at::RecordFunction) as an op. Tensors
/// are told apart by their identity; in-place ops name their result anew. Meta tensors are recorded as CPU ones.
/// Throws UserError E0413, naming the op, when the run takes a number out of a tensor (its course then depends on
/// the data), and InternalError when a value reaches an op or the output without having been recorded.
Trace trace(Network& network, const std::vector<at::Tensor>& inputs,
            const std::vector<std::string>& input_names);

}  // namespace pollard::models
