// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "pruning/fairness/search.h"

namespace pollard::cli {

/// SVG: bias (up) against performance (right), one colour a method, what nothing beats ringed. The scale ends at the
/// ninth decile, since perplexities of broken networks would flatten everything else: what lies beyond sits at the edge.
std::string front_picture(const std::vector<pruning::fairness::Outcome>& outcomes,
                          const std::string& performance_name, const std::string& bias_name);

}  // namespace pollard::cli
