// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

// Graph attention networks (Velickovic et al., 2018, arXiv 1710.10903) on x [N, features] and edge_index [2, E], as they
// label the proteins of PPI. All heads of a layer are concatenated but in the last, which averages them. Goldens: both
// codes run.

/// The network of PyTorch Geometric's PPI example: GATConv layers conv1, conv2, ... with one self loop a node, each beside a
/// linear lin1, lin2, ... that is added before the ELU. Files from before PyG 2.5 say conv1.lin_src.weight.
Family gat_pyg();

/// The network DepGraph prunes: layers gat_net.0, 1, ... with a skip connection inside (the input itself where it is as
/// wide as one head, skip_proj otherwise) and no self loops of their own.
Family gat_depgraph();

}  // namespace pollard::models
