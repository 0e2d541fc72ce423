// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "pruning/block_elimination.h"
#include "pruning/statistics.h"

namespace pollard::pruning {

/// What squared errors at a consumer's outputs are measured by.
enum class ErrorMetric {
  Local,  ///< relative to the consumer's own output energy
  Output  ///< at the network's output, to first order, relative to its energy; needs output gradients
};

/// The least-squares problems of one group, with C + ridge mean(diag C) as second moments (a larger ridge where single precision
/// leaves that sum indefinite): consumers of one input are one
/// problem with their outputs stacked. Empty when none of the consumers was seen.
std::vector<BlockElimination::Problem> consumer_problems(const std::vector<Consumer>& consumers,
                                                         const Statistics& statistics, double ridge,
                                                         ErrorMetric metric);

}  // namespace pollard::pruning
