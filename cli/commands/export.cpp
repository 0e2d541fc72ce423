// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <filesystem>

#include <memory>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/model_input.h"
#include "cli/model_report.h"
#include "cli/ui/format.h"
#include "graph/coupling_graph.h"
#include "models/io/atomic_file.h"

namespace pollard::cli {
namespace {

struct Options {
  std::string model, out;
  ModelInput input;
  bool force = false;
};

std::string description(const AnalysedModel& m) {
  const graph::Program& program = m.model.program;
  return dump(Json{{"schema", "pollard.model/1"},
                   {"sha256", m.model.sha256},
                   {"tensors", tensors_json(m.model, m.dependencies)},
                   {"groups", groups_json(group_views(program, m.dependencies), program, m.dependencies)},
                   {"frozen", frozen_json(program, m.dependencies)},
                   {"program", graph::to_string(program)}}) +
         "\n";
}

void write(const Options& options) {
  const std::string extension = std::filesystem::path(options.out).extension().string();
  if (extension != ".dot" && extension != ".json")
    return models::save(load_model(options.model, options.input), options.out, {.force = options.force});
  const AnalysedModel m = load_and_analyse(options.model, options.input);
  const std::string text =
      extension == ".dot" ? graph::to_dot(m.model.program, m.dependencies) : description(m);
  write_text_file(options.out, text, options.force);
}

Exit run_export(const Options& options, Context& context) {
  models::io::check_output_path(options.out, {options.model}, options.force);
  write(options);
  std::error_code error;
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(options.out, error));
  if (context.json())
    context.print_json({{"input", options.model}, {"output", options.out}, {"bytes", bytes}});
  context.report(fmt::format("wrote     {}  {}", options.out, format_bytes(static_cast<double>(bytes))));
  return Exit::Ok;
}

}  // namespace

void add_export(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app = line.add(
      {.name = "export",
       .section = "Ship",
       .purpose = "another format, by extension: pt2, safetensors, dot, json",
       .examples = {"pollard export model.pt2 weights.safetensors", "pollard export model.pt2 couplings.dot",
                    "pollard export model.pt2 model.json"}},
      [options](Context& context) { return run_export(*options, context); });
  app->add_option("MODEL", options->model, "the model")->type_name("FILE")->required();
  app->add_option("OUT", options->out, ".pt2, .safetensors, .dot or .json")->type_name("FILE")->required();
  app->add_flag("--force", options->force, "replace an existing OUT")->group("Safety");
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
