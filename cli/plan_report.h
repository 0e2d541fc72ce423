// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/context.h"
#include "graph/dependencies.h"
#include "pruning/plan.h"
#include "pruning/verify.h"

namespace pollard::cli {

/// Target, method, how many units go, warnings: the lines above the tables.
void report_plan(const pruning::Plan& plan, const graph::Dependencies& dependencies, Context& context);

/// Parameters, MACs and activation memory, before, after and change.
Table change_table(const pruning::Plan& plan);

/// One row a group: kept and removed units, or why it was kept whole.
Table group_plan_table(const pruning::Plan& plan, const graph::Dependencies& dependencies);

/// "verify    pruned == masked original   max diff 2.1e-12 over 8 inputs   ok": relative to the largest output.
std::string verdict_text(const pruning::Verification& result, const Theme& theme);
Json to_json(const pruning::Verification& result);

}  // namespace pollard::cli
