// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/context.h"
#include "cli/model_input.h"
#include "graph/error.h"
#include "pruning/plan.h"
#include "pruning/repair.h"
#include "pruning/verify.h"

namespace pollard::cli {

/// Everything one `prune` produced.
struct Outcome {
  pruning::Plan plan;
  std::string plan_json;
  models::Model pruned;
  std::optional<pruning::Verification> verification;
  std::optional<pruning::RepairReport> repair;
};

/// Refuses (UserError E0504) a plan whose copies of the weights, and whose proof when there is to be one, cannot fit into
/// memory: before any of it is taken. `help` is what to do about it; "" for the general advice.
void check_memory(const AnalysedModel& original, const graph::Removal& removal, bool proof,
                  const std::string& help = "");

/// What a pruned file says of its origin, as JSON. No times and no paths: the same run gives the same bytes.
std::string provenance(const AnalysedModel& original, const Outcome& outcome);

/// `output` is empty when nothing was written.
Json to_json(const Outcome& outcome, const std::string& input, const std::string& output);

/// "repair    12 layers refitted on 1000 samples   median layer error 0.210 -> 0.034   4.2 s".
std::string repair_text(const pruning::RepairReport& report);

/// "wrote     small.pt2  3.9 MiB -> 2.2 MiB": the files' sizes.
std::string written_text(const std::string& input, const std::string& output);
/// The last lines of a command that makes a model of a model: what was written, with `more` behind, and how to compare
/// the two; or that it was a dry run.
Exit close_run(const std::string& input, const std::string& output, bool written, const std::string& more,
               Context& context);

/// Bytes of a model's file, or of all shards of a folder; 0 when there is no such file.
std::int64_t file_size(const std::string& path);

}  // namespace pollard::cli
