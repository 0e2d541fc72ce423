// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "graph/program.h"
#include "pruning/repair_layers.h"

namespace pollard::pruning {

/// The residual sum that a layer's output joins, alone and through nothing but reshapes, dropout and at most one batch
/// norm, where the other summand exists before the layer runs:
///
///     other ----------------------> +        the layer can make good what the other summand has lost:
///     x --> layer [--> batch norm] -^        its target is dense sum - pruned other, not its own dense output
///
/// Errors of a residual stream then do not add up from block to block.
struct Summand {
  graph::ValueId other;
  std::string scale, variance;  ///< state-dict names of the batch norm between, or ""
  double eps = 0;               ///< of that norm
};

/// By layer name, for the layers that have one.
std::map<std::string, Summand> find_summands(const graph::Program& program,
                                             const std::map<std::string, Layer>& layers);

}  // namespace pollard::pruning
