// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/model_input.h"
#include "cli/prune_outcome.h"
#include "cli/trade_off.h"
#include "pruning/sensitivity.h"

namespace pollard::cli {
class CommandLine;
}

namespace pollard::cli::report {

/// `--report FILE`: everything a run found out, in one file. The parts that a command has are put in; the document is
/// built once, as JSON "pollard.report/1" (docs/schemas/report.schema.json), and what FILE shows is a function of it
/// alone: FILE.json is that document, FILE.html the page made from it (page.h).
struct Findings {
  const AnalysedModel& model;                 ///< before
  const pruning::Plan* plan = nullptr;        ///< what goes
  const Outcome* outcome = nullptr;           ///< what came of it: verification, repair, the smaller network
  const models::Model* after = nullptr;       ///< another form of the network that no plan made
  const graph::Cost* cost_after = nullptr;    ///< of that form
  std::string output;                         ///< the file written, or ""
  int steps = 1;                              ///< the last of so many steps
  std::vector<TradeOffPoint> trade_off = {};  ///< plans at several ratios
  const pruning::Sensitivity* sensitivity = nullptr;  ///< groups pruned alone, measured
  int timed_runs = 3;                                 ///< of each network, for the latency by op; 0 = none
};

/// Plans at ratios of 0.1 to 0.9 with the same criterion and scope: what other budgets would leave. Empty for criteria
/// that need samples, whose plans take long: pollard plan --sweep makes those.
std::vector<TradeOffPoint> other_ratios(const AnalysedModel& m, const pruning::PlanOptions& options);

Json document(const Findings& findings, const CommandLine& line);

/// Throws UserError E0203 for a name that ends neither in .html nor in .json, and what check_output_path throws: before
/// any work is done.
void check_report_path(const std::string& path, bool force);

/// Writes the document as the name says: a page or JSON.
void write_report(const Json& document, const std::string& path, bool force);

// Parts of the document, each from what it shows (collect.cpp, network.cpp, figures.cpp).
/// Prunable groups: those of `inspect --json` with the units that go and what couples the members.
Json groups_part(const AnalysedModel& m, const pruning::Plan* plan);
/// Stored weights in the order of their ops, with the width they had and have.
Json layers_part(const AnalysedModel& m, const pruning::Plan* plan);
/// Nodes in execution order, each with the nodes it reads and the groups that run along them. More than `limit` are
/// collapsed by module, or in runs where there are no modules.
Json network_part(const AnalysedModel& m, const pruning::Plan* plan, std::size_t limit = 1200);
/// Seconds of every op before and after, shortest of `runs`; null where the weights are not there.
Json latency_part(const models::Model& before, const models::Model* after, int runs);
/// By group, the share of the criterion's scores that goes with a share of the units: what a cut costs by its own
/// measure, without samples.
Json criterion_part(const AnalysedModel& m, const pruning::PlanOptions& options);

}  // namespace pollard::cli::report
