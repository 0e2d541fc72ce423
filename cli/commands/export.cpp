// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/model_input.h"
#include "cli/model_report.h"
#include "cli/ui/format.h"
#include "graph/coupling_graph.h"
#include "models/io/atomic_file.h"
#include "pruning/precision.h"

namespace pollard::cli {
namespace {

struct Options {
  std::string model, out, dtype;
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

pruning::Converted convert(const models::Model& model, const std::string& dtype, std::uint64_t seed) {
  if (dtype == "int8") return pruning::to_int8(model, seed);
  static const std::map<std::string, graph::DType> types{{"f16", graph::DType::Float16},
                                                         {"bf16", graph::DType::BFloat16},
                                                         {"f32", graph::DType::Float32},
                                                         {"f64", graph::DType::Float64}};
  return pruning::to_type(model, types.at(dtype), seed);
}

/// Layers, worst first, then what all of it does to the outputs.
void report_errors(const pruning::Converted& done, const std::string& dtype, Context& context) {
  Table table({{.title = "layer", .cut = Column::Cut::Middle},
               {.title = "weight error", .number = true},
               {.title = "output error", .number = true}});
  std::vector<pruning::Converted::Layer> layers = done.layers;
  std::ranges::stable_sort(layers, std::ranges::greater(), &pruning::Converted::Layer::output_error);
  for (const pruning::Converted::Layer& layer : layers)
    table.add({layer.weight, number_cell(layer.weight_error, fmt::format("{:.2e}", layer.weight_error)),
               number_cell(layer.output_error, fmt::format("{:.2e}", layer.output_error))});
  if (!table.empty()) context.print(table);
  context.report(fmt::format("outputs   change by {:.2e} of their size in {}", done.output_change, dtype));
}

Json errors_json(const pruning::Converted& done, const std::string& dtype) {
  Json layers = Json::array();
  for (const pruning::Converted::Layer& layer : done.layers)
    layers.push_back({{"weight", layer.weight},
                      {"shape", layer.shape},
                      {"weight_error", layer.weight_error},
                      {"output_error", layer.output_error}});
  return {{"dtype", dtype}, {"output_change", done.output_change}, {"layers", layers}};
}

/// What was lost by the conversion, as JSON; null where none was asked for.
Json write(const Options& options, Context& context) {
  const std::string extension = std::filesystem::path(options.out).extension().string();
  if (extension == ".dot" || extension == ".json") {
    const AnalysedModel m = load_and_analyse(options.model, options.input);
    const std::string text =
        extension == ".dot" ? graph::to_dot(m.model.program, m.dependencies) : description(m);
    write_text_file(options.out, text, options.force);
    return nullptr;
  }
  models::check_save_path(options.out, {options.model}, options.force);
  const models::Model model = load_model(options.model, options.input);
  if (options.dtype.empty()) {
    models::save(model, options.out, {.force = options.force});
    return nullptr;
  }
  const pruning::Converted done = convert(model, options.dtype, context.globals().seed);
  models::save(done.model, options.out, {.force = options.force});
  report_errors(done, options.dtype, context);
  return errors_json(done, options.dtype);
}

Exit run_export(const Options& options, Context& context) {
  models::io::check_output_path(options.out, {options.model}, options.force);
  const Json errors = write(options, context);
  std::error_code error;
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(options.out, error));
  if (context.json()) {
    Json fields{{"input", options.model}, {"output", options.out}, {"bytes", bytes}};
    if (!errors.is_null()) fields["precision"] = errors;
    context.print_json(fields);
  }
  context.report(fmt::format("wrote     {}  {}", options.out, format_bytes(static_cast<double>(bytes))));
  return Exit::Ok;
}

}  // namespace

void add_export(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app = line.add(
      {.name = "export",
       .section = "Ship",
       .purpose = "another format: pt2, safetensors, onnx, ts, dot, json",
       .examples = {"pollard export model.pt2 model.onnx", "pollard export model.pt2 int8.pt2 --dtype int8",
                    "pollard export model.pt2 couplings.dot"}},
      [options](Context& context) { return run_export(*options, context); });
  app->add_option("MODEL", options->model, "the model")->type_name("FILE")->required();
  app->add_option("OUT", options->out, ".pt2, .safetensors, .onnx, .ts, .dot or .json")
      ->type_name("FILE")
      ->required();
  app->add_option("--dtype", options->dtype, "f16, bf16, f32, f64, or int8 weights of linear layers")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"f16", "bf16", "f32", "f64", "int8"}));
  app->add_flag("--force", options->force, "replace an existing OUT")->group("Safety");
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
