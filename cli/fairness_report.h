// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"
#include "pruning/fairness/search.h"

namespace pollard::cli {

/// One row a unit: what is left of performance and of bias on every axis without it.
Table score_table(const pruning::fairness::Scoreboard& board);

/// One row an axis and a subgroup, before and after, with 95 % intervals from 1,000 resamples of the prompts.
Table standing_table(const std::vector<pruning::fairness::AxisBias>& before,
                     const std::vector<pruning::fairness::AxisBias>& after, std::uint64_t seed);

/// One row an outcome; those of the front are marked.
Table front_table(const std::vector<pruning::fairness::Outcome>& outcomes, bool all);
/// Bias (up) against performance (right), one mark a method, the front joined.
std::string front_svg(const std::vector<pruning::fairness::Outcome>& outcomes,
                      const std::string& performance_name, const std::string& bias_name);

}  // namespace pollard::cli
