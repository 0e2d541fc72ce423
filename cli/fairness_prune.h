// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/fairness_options.h"
#include "cli/prune_outcome.h"

namespace pollard::cli {

/// Carries a plan of `fairness` out: cuts, proves, refits when --repair or --calib was given, and writes unless --dry-run. Reports
/// each step. Nothing is written when the proof fails.
Outcome carry_out(const FairnessArguments& arguments, const AnalysedModel& original, pruning::Plan plan,
                  Context& context);

}  // namespace pollard::cli
