// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"
#include "pruning/fairness/search.h"

namespace pollard::cli {

/// One row a unit: what is left of performance and of bias on every axis without it.
Table score_table(const pruning::fairness::Scoreboard& board);

/// What a measurement was before and after, with 95 % intervals from 1,000 resamples of the prompts: one an axis, then one
/// each of its subgroups.
struct StandingRow {
  struct Estimate {
    double value = 0;
    pruning::fairness::Interval interval;
  };
  std::string axis, subgroup;  ///< subgroup "" for the axis's bias
  Estimate before, after, change;
};
std::vector<StandingRow> standing(const std::vector<pruning::fairness::AxisBias>& before,
                                  const std::vector<pruning::fairness::AxisBias>& after, std::uint64_t seed);
Table standing_table(const std::vector<StandingRow>& rows);
/// The same with a column for every number.
Table standing_numbers(const std::vector<StandingRow>& rows);
Json to_json(const std::vector<StandingRow>& rows);

/// "fasp"; "none" for the network as it is.
std::string method_of(const pruning::fairness::Outcome& outcome);
/// One row an outcome; those of the front are marked.
Table front_table(const std::vector<pruning::fairness::Outcome>& outcomes, bool all);
/// All of them with the bias of each axis.
Table outcome_numbers(const std::vector<pruning::fairness::Outcome>& outcomes,
                      const std::vector<std::string>& axes);
Json to_json(const std::vector<pruning::fairness::Outcome>& outcomes, const std::vector<std::string>& axes);

}  // namespace pollard::cli
