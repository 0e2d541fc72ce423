// SPDX-License-Identifier: Apache-2.0
#include "pruning/verify.h"

#include <memory>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/model_input.h"
#include "cli/plan_report.h"
#include "models/io/json.h"
#include "models/io/memory.h"
#include "pruning/memory_needs.h"
#include "pruning/plan.h"

namespace pollard::cli {
namespace {

struct Options {
  std::string pruned, original, plan_file;
  ModelInput input;
  double tolerance = 1e-10;
  int inputs = 8;
};

std::string plan_text(const Options& options, const models::Model& pruned) {
  if (!options.plan_file.empty()) return read_text_file(options.plan_file);
  const auto found = pruned.metadata.find("pollard.plan");
  if (found != pruned.metadata.end()) return found->second;
  throw UserError({.code = "E0327",
                   .exit = Exit::BadFile,
                   .subject = options.pruned,
                   .message = "carries no plan, so what was removed is unknown",
                   .where = {},
                   .why = {},
                   .help = "give the plan it was made with: --plan plan.json"});
}

bool repaired(const models::Model& pruned) {
  const auto found = pruned.metadata.find("pollard.provenance");
  if (found == pruned.metadata.end()) return false;
  return models::io::parse_json(found->second, "provenance").contains("repair");
}

Exit run_verify(const Options& options, Context& context) {
  const AnalysedModel m = load_and_analyse(options.original, options.input);
  const models::Model pruned = load_model(options.pruned, options.input);
  const pruning::Plan plan = pruning::plan_from_json(plan_text(options, pruned), m.model, m.dependencies);
  models::io::require_memory(
      static_cast<std::uint64_t>(pruning::memory_needs(m.model.program, m.dependencies, plan.removal).proof),
      options.original);
  const pruning::Verification result = pruning::verify(
      m.model, pruned, m.dependencies, plan.removal,
      {.inputs = options.inputs, .seed = context.globals().seed, .tolerance = options.tolerance});
  if (context.json())
    context.print_json(
        {{"pruned", options.pruned}, {"original", options.original}, {"verify", to_json(result)}});
  context.report(verdict_text(result, context.theme()));
  if (repaired(pruned))
    context.warn("its weights were refitted after the proof (prune --calib), so a difference is expected");
  if (result.change == 0) context.warn("masking changed no output, so this check could not have failed");
  return result.ok ? Exit::Ok : Exit::GateFailed;
}

}  // namespace

void add_verify(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app = line.add(
      {.name = "verify",
       .section = "Judge",
       .purpose = "prove that a pruned model equals the masked original",
       .examples = {"pollard verify small.pt2 model.pt2", "pollard verify small.pt2 model.pt2 --inputs 32",
                    "pollard verify small.pt2 model.pt2 --plan plan.json"}},
      [options](Context& context) { return run_verify(*options, context); });
  app->add_option("PRUNED", options->pruned, "the smaller model")->type_name("FILE")->required();
  app->add_option("ORIGINAL", options->original, "the model it was made from")->type_name("FILE")->required();
  app->add_option("--plan", options->plan_file, "the plan, when PRUNED carries none")
      ->type_name("FILE")
      ->group("Comparison");
  app->add_option("--tol", options->tolerance, "largest relative difference, in f64")
      ->type_name("X")
      ->check(CLI::NonNegativeNumber)
      ->group("Comparison");
  app->add_option("--inputs", options->inputs, "how many inputs are run")
      ->type_name("N")
      ->check(CLI::Range(1, 1000))
      ->group("Comparison");
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
