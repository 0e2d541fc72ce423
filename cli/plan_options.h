// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/model_input.h"
#include "pruning/calibration.h"
#include "pruning/plan.h"

namespace pollard::cli {

/// What `plan` and `prune` are asked for, as typed.
struct PlanArguments {
  std::string ratio, speedup, parameters, macs, activations, file_size, latency, heads, head_dim;  // targets
  std::string layers, ignore, only;
  std::string scope, criterion = "magnitude", max_ratio = "1";
  std::string calibration, labels, tokenizer, scale;  // samples for the criterion and for repair
  std::int64_t samples = 0;
  std::string round_to = "1", latency_table;
  std::int64_t min_width = 1;
  bool exact = false, allow_nonfinite = false;
};
void add_plan_options(CLI::App& app, PlanArguments& arguments);

/// Throws UserError: E0207 when no target was given, E0206 for a ratio beside a budget, E0203 for a value that does not
/// read.
pruning::PlanOptions plan_options(const PlanArguments& arguments, const std::string& command,
                                  std::uint64_t seed);

/// The samples of --calib, when given; read before any work is done, so that a bad file costs no time. Throws UserError
/// E0210 when the criterion needs some and there are none, and what read_calibration throws.
std::optional<pruning::CalibrationSet> read_samples(const PlanArguments& arguments,
                                                    const models::Model& model);

/// The same for the processes of the job to share, and a line that says so.
std::optional<pruning::CalibrationSet> shared_samples(const PlanArguments& arguments,
                                                      const models::Model& model, Context& context);

/// Throws UserError E0206 for several processes and a target that is measured by the clock: they would disturb each other.
void check_job(const PlanArguments& arguments);

/// Bytes of the model's file that are no weights: what --file-size counts beside them.
std::int64_t bytes_beside_weights(const AnalysedModel& model);

/// The plan that the options ask for. With --file-size, the plan that travels in the file counts too; with --latency the
/// pruned network is run beside the dense one, and where it is slower than was asked for, planned again for less. All
/// processes of a job call this together and get the same plan.
pruning::Plan plan_for(pruning::PlanOptions options, const AnalysedModel& model,
                       const pruning::CalibrationSet* samples);

/// " --speedup 2x --exact": the options again, as typed, for the next command.
std::string as_typed(const PlanArguments& arguments);

/// "MACs <= 63.2 M", "half of the units of every group": the target in words, for the report.
std::string target_text(const pruning::Plan& plan);
/// "criterion magnitude, global, round to 8, exact groups only".
std::string method_text(const pruning::PlanOptions& options);

}  // namespace pollard::cli
