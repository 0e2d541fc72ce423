// SPDX-License-Identifier: Apache-2.0
#include "models/parity.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/ui/format.h"
#include "models/io/cancel.h"

namespace pollard::cli {
namespace {

using models::ParityResult;

struct Options {
  std::vector<std::string> goldens;
  std::string dtype = "auto";
  double tolerance = 0;
};

const char* verdict(ParityResult::Status status) {
  switch (status) {
    case ParityResult::Status::Passed: return "ok";
    case ParityResult::Status::Failed: return "FAILED";
    case ParityResult::Status::NotBuiltIn: return "not built in";
    case ParityResult::Status::NotAGolden: return "not a golden";
  }
  return "";
}

// The worst tap is the one to look at first.
std::string remark(const ParityResult& result) {
  if (!result.problem.empty()) return result.problem;
  for (const auto& tap : result.taps)
    if (!tap.passed())
      return tap.name + ": " + (tap.problem.empty() ? format_scientific(tap.relative()) : tap.problem);
  return fmt::format("{} tap{}", result.taps.size(), result.taps.size() == 1 ? "" : "s");
}

std::vector<Cell> row(const ParityResult& result) {
  const double error = result.largest_relative_error();
  return {result.golden,
          result.arch,
          result.float64 ? "f64" : "f32",
          Cell(fmt::format("{}/{}", result.keys_matched, result.keys)),
          count_cell(result.parameters),
          number_cell(error, result.taps.empty() ? "-" : format_scientific(error)),
          verdict(result.status),
          remark(result)};
}

Json to_json(const ParityResult& result) {
  Json taps = Json::array();
  for (const auto& tap : result.taps)
    taps.push_back({{"name", tap.name},
                    {"error", tap.error},
                    {"largest", tap.largest},
                    {"tolerance", tap.tolerance},
                    {"relative", tap.relative()},
                    {"problem", tap.problem},
                    {"passed", tap.passed()}});
  return {{"golden", result.golden},
          {"arch", result.arch},
          {"family", result.family},
          {"verdict", verdict(result.status)},
          {"problem", result.problem},
          {"keys", result.keys},
          {"keys_matched", result.keys_matched},
          {"parameters", result.parameters},
          {"parameters_expected", result.parameters_expected},
          {"macs", result.macs < 0 ? Json() : Json(result.macs)},
          {"macs_expected", result.macs_expected < 0 ? Json() : Json(result.macs_expected)},
          {"dtype", result.float64 ? "f64" : "f32"},
          {"taps", taps}};
}

Exit exit_of(const std::vector<ParityResult>& results) {
  const auto any = [&](ParityResult::Status status) {
    return std::any_of(results.begin(), results.end(),
                       [&](const ParityResult& r) { return r.status == status; });
  };
  if (any(ParityResult::Status::Failed)) return Exit::GateFailed;
  if (any(ParityResult::Status::NotAGolden)) return Exit::BadFile;
  return any(ParityResult::Status::NotBuiltIn) ? Exit::Unsupported : Exit::Ok;
}

std::vector<ParityResult> check_all(const Options& options, Context& context) {
  Progress progress =
      context.progress("parity", static_cast<std::int64_t>(options.goldens.size()), "goldens");
  std::vector<ParityResult> results;
  for (const std::string& golden : options.goldens) {
    models::io::throw_if_cancelled();
    results.push_back(
        models::check_golden(golden, {.tolerance = options.tolerance, .float64 = options.dtype == "f64"}));
    progress.advance();
  }
  return results;
}

Exit run_parity(const Options& options, Context& context) {
  const std::vector<ParityResult> results = check_all(options, context);
  Table table({{"golden", false, Column::Cut::Middle},
               {"arch"},
               {"dtype"},
               {"keys", true},
               {"parameters", true},
               {"error", true},
               {"verdict"},
               {"remark", false, Column::Cut::End}});
  Json list = Json::array();
  for (const ParityResult& result : results) {
    table.add(row(result));
    list.push_back(to_json(result));
  }
  const auto passed = std::count_if(results.begin(), results.end(), [](const auto& r) { return r.passed(); });
  if (context.json()) context.print_json({{"results", list}, {"passed", passed}, {"total", results.size()}});
  context.print(table);
  context.note(fmt::format("{} of {} match", passed, results.size()));
  return exit_of(results);
}

}  // namespace

void add_parity(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app =
      line.add({.name = "parity",
                .section = "Judge",
                .purpose = "built-in networks against recorded reference outputs",
                .examples = {"pollard parity golden/bert_tiny.json", "pollard parity golden/*.json -q",
                             "pollard parity golden/cifar_resnet8_tiny.json --dtype f64 --json"}},
               [options](Context& context) { return run_parity(*options, context); });
  app->add_option("GOLDEN", options->goldens, "files with architecture, inputs and reference outputs")
      ->required()
      ->take_all();
  app->add_option("--dtype", options->dtype, "auto (the golden's own) or f64")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"auto", "f64"}))
      ->group("Comparison");
  app->add_option("--tol", options->tolerance, "relative tolerance; 0 takes the golden's own")
      ->type_name("X")
      ->check(CLI::NonNegativeNumber)
      ->group("Comparison");
}

}  // namespace pollard::cli
