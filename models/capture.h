// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/program.h"
#include "kernels/executor.h"
#include "models/network.h"

namespace pollard::models {

/// A network as a program, with its tensors by state-dict key (shared, not copied) and lifted constants.
struct Captured {
  graph::Program program;
  kernels::Weights weights;
};

/// Writes down what `network` computes, as an export would: it is run on its example inputs at several of the sizes
/// they may take, and integers that follow the sizes become symbolic. Runs on meta tensors, so it allocates neither
/// weights nor activations, and works before the network has weights. The network's train flag is respected.
/// Throws UserError E0413 (the course of the run depends on data, or on sizes in a way that is no polynomial).
Captured capture(Network& network);

/// One run at exactly the shapes of `inputs`, on meta tensors: nothing is computed. All sizes are plain numbers.
graph::Program trace_shapes(Network& network, const std::vector<at::Tensor>& inputs);

}  // namespace pollard::models
