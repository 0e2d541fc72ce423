// SPDX-License-Identifier: Apache-2.0
#include "cli/prune_outcome.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "cli/plan_report.h"
#include "cli/ui/format.h"
#include "cli/version.h"
#include "graph/saturating.h"
#include "models/io/checkpoint.h"
#include "models/io/memory.h"
#include "pruning/memory_needs.h"

namespace pollard::cli {
namespace {

// Median over the refitted layers of an error relative to the dense layer's output.
double median_error(const pruning::RepairReport& report, double pruning::OpRepair::*which) {
  std::vector<double> errors;
  for (const pruning::OpRepair& op : report.ops) errors.push_back(op.*which);
  if (errors.empty()) return 0;
  std::ranges::sort(errors);
  return errors[errors.size() / 2];
}

}  // namespace

void check_memory(const AnalysedModel& original, const graph::Removal& removal, bool proof,
                  const std::string& help) {
  const auto needs = pruning::memory_needs(original.model.program, original.dependencies, removal);
  models::io::require_memory(
      static_cast<std::uint64_t>(proof ? graph::plus(needs.slices, needs.proof) : needs.slices),
      original.path, help);
}

std::string provenance(const AnalysedModel& original, const Outcome& outcome) {
  Json json{{"schema", "pollard.provenance/1"},
            {"tool", tool_name()},
            {"input",
             {{"file", std::filesystem::path(original.path).filename().string()},
              {"sha256", original.model.sha256}}},
            {"plan_sha256", pruning::plan_hash(outcome.plan_json)}};
  if (outcome.verification) json["verify"] = to_json(*outcome.verification);
  if (outcome.repair)
    json["repair"] = {{"method", pruning::to_string(outcome.repair->method)},
                      {"samples", outcome.repair->samples},
                      {"layers", outcome.repair->ops.size()}};
  // A network pruned again carries what was done before: its plan and, inside its provenance, those before it.
  const auto& metadata = original.model.metadata;
  if (const auto before = metadata.find("pollard.provenance"); before != metadata.end()) {
    json["earlier"] = {{"provenance", Json::parse(before->second, nullptr, false)}};
    if (const auto plan = metadata.find("pollard.plan"); plan != metadata.end())
      json["earlier"]["plan"] = Json::parse(plan->second, nullptr, false);
  }
  return dump(json);
}

Json to_json(const Outcome& outcome, const std::string& input, const std::string& output) {
  Json json{{"input", input},
            {"output", output.empty() ? Json() : Json(output)},
            {"plan_sha256", pruning::plan_hash(outcome.plan_json)},
            {"plan", Json::parse(outcome.plan_json)},
            {"verify", outcome.verification ? to_json(*outcome.verification) : Json()},
            {"input_bytes", file_size(input)}};
  if (outcome.repair)
    json["repair"] = {{"samples", outcome.repair->samples},
                      {"layers", outcome.repair->ops.size()},
                      {"median_error_before", median_error(*outcome.repair, &pruning::OpRepair::before)},
                      {"median_error_after", median_error(*outcome.repair, &pruning::OpRepair::after)}};
  if (!output.empty()) json["output_bytes"] = file_size(output);
  return json;
}

std::string repair_text(const pruning::RepairReport& report) {
  const std::string of = report.samples < report.given ? fmt::format(" of {}", report.given) : "";
  const std::string memory = format_bytes(static_cast<double>(report.activation_bytes));
  if (report.method == pruning::RepairMethod::BatchNorm)
    return fmt::format("repair    {} batch norms re-estimated on {}{} samples   activations {}   {:.1f} s",
                       report.ops.size(), report.samples, of, memory, report.seconds);
  return fmt::format(
      "repair    {} layers refitted on {}{} samples   median layer error {:.3f} -> {:.3f}\n"
      "          activations {}   {:.1f} s",
      report.ops.size(), report.samples, of, median_error(report, &pruning::OpRepair::before),
      median_error(report, &pruning::OpRepair::after), memory, report.seconds);
}

std::string written_text(const std::string& input, const std::string& output) {
  return fmt::format("wrote     {}  {} -> {}", output, format_bytes(static_cast<double>(file_size(input))),
                     format_bytes(static_cast<double>(file_size(output))));
}

Exit close_run(const std::string& input, const std::string& output, bool written, const std::string& more,
               Context& context) {
  if (!written) {
    context.report("dry run: nothing written");
    return Exit::Ok;
  }
  context.report(written_text(input, output) + more);
  context.next(fmt::format("pollard bench {} {}", input, output));
  return Exit::Ok;
}

std::int64_t file_size(const std::string& path) {
  const std::filesystem::path file = models::io::model_file(path);
  if (file.filename().string().ends_with(".index.json"))
    return static_cast<std::int64_t>(models::io::describe_checkpoint(file).bytes);
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? 0 : static_cast<std::int64_t>(size);
}

}  // namespace pollard::cli
