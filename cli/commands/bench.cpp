// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>

#include "cli/bench/compare.h"
#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/model_input.h"
#include "cli/runtime.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "models/io/cancel.h"

namespace pollard::cli {
namespace {

struct Options {
  std::vector<std::string> models;
  ModelInput input;
  std::string batch, shapes, dtype, kernels = "torch", format = "text", percentiles = "50,99", max_regress;
  int repeat = 50, warmup = 10;
};

std::optional<at::ScalarType> scalar_type(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (name == "f16") return at::kHalf;
  if (name == "bf16") return at::kBFloat16;
  if (name == "f32") return at::kFloat;
  if (name == "f64") return at::kDouble;
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = "--dtype",
                   .message = fmt::format("\"{}\" is none of f16, bf16, f32, f64", name),
                   .where = {},
                   .why = {},
                   .help = {}});
}

std::vector<Kernels> kernels_from(const std::string& text) {
  std::vector<Kernels> kernels;
  for (const std::string& name : split(text, ',')) {
    if (name != "pollard" && name != "torch")
      throw UserError({.code = "E0203",
                       .exit = Exit::Usage,
                       .subject = "--kernels",
                       .message = fmt::format("\"{}\" is none of pollard, torch", name)});
    kernels.push_back(name == "pollard" ? Kernels::Pollard : Kernels::Torch);
  }
  return kernels;
}

Shapes given_shapes(const std::string& text) {
  Shapes shapes;
  if (text.empty()) return shapes;
  for (const std::string& shape : split(text, ',')) shapes.push_back(parse_shape(shape, "--input"));
  return shapes;
}

std::vector<Load> loads_of(const Options& options, const Globals& globals) {
  std::vector<std::optional<std::int64_t>> batches{std::nullopt};
  if (!options.batch.empty()) {
    const auto list = parse_counts(options.batch, "--batch");
    batches.assign(list.begin(), list.end());
  }
  const c10::Device device = choose_device(globals.device);
  std::vector<Load> loads;
  for (const std::string& type : split(options.dtype, ','))
    for (const auto& batch : batches)
      loads.push_back({.shapes = given_shapes(options.shapes),
                       .batch = batch,
                       .type = scalar_type(type),
                       .type_name = type,
                       .device = device,
                       .kernels = kernels_from(options.kernels),
                       .seed = globals.seed});
  return loads;
}

std::vector<BenchRow> run_all(const Options& options, Context& context) {
  const std::vector<Load> loads = loads_of(options, context.globals());
  std::vector<Entry> entries;
  for (const std::string& path : options.models)
    entries.push_back(make_entry(load_and_analyse(path, options.input)));
  const auto rounds = static_cast<std::int64_t>(loads.size()) * (options.warmup + options.repeat);
  Progress progress = context.progress("bench", rounds, "rounds");
  const auto after_round = [&] {
    models::io::throw_if_cancelled();
    progress.advance();
  };
  std::vector<BenchRow> rows;
  for (const Load& load : loads) {
    const auto more = compare(entries, load, options.warmup, options.repeat, after_round);
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

void print(const std::vector<BenchRow>& rows, const Options& options, Context& context) {
  const std::vector<double> percentiles = parse_numbers(options.percentiles, "--percentiles");
  Json list = Json::array();
  for (const BenchRow& row : rows) list.push_back(to_json(row, percentiles));
  if (context.json() || options.format == "json") return context.print_json({{"results", list}});
  if (options.format == "jsonl") {
    for (const Json& row : list) context.print_line(dump(row));
    return;
  }
  const Table table = bench_table(rows, percentiles);
  if (options.format == "md") return context.print(table, TableFormat::Markdown);
  if (options.format == "csv") return context.print(table, TableFormat::Csv);
  context.print(bench_summary(rows, percentiles));
}

Exit run_bench(const Options& options, Context& context) {
  const double allowed =
      options.max_regress.empty() ? -1 : parse_fraction(options.max_regress, "--max-regress");
  const std::vector<BenchRow> rows = run_all(options, context);
  print(rows, options, context);
  for (const std::string& note : bench_notes(rows)) context.note(note);
  bool slower = false;
  for (const BenchRow& row : rows) slower = slower || (allowed >= 0 && row.speedup < 1 / (1 + allowed));
  if (slower)
    context.note("FAILED: slower than the first model by more than --max-regress " + options.max_regress);
  return slower ? Exit::GateFailed : Exit::Ok;
}

}  // namespace

void add_bench(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app = line.add({.name = "bench",
                            .section = "Judge",
                            .purpose = "latency, throughput, memory; several models side by side",
                            .examples = {"pollard bench model.pt2 small.pt2",
                                         "pollard bench model.pt2 small.pt2 --repeat 20 -o md",
                                         "pollard bench small.pt2 --kernels torch,pollard"}},
                           [options](Context& context) { return run_bench(*options, context); });
  const auto option = [&](const char* name, auto& value, const char* type, const char* group,
                          const char* text) {
    return app->add_option(name, value, text)->type_name(type)->group(group);
  };
  app->add_option("MODEL", options->models, "models; the first is what others are compared with")
      ->type_name("FILE")
      ->required()
      ->take_all();
  option("--batch", options->batch, "1,8,64", "Load", "batch sizes, for models exported with one");
  option("--input", options->shapes, "1x3x32x32", "Load", "shapes of the inputs, comma between inputs");
  option("--dtype", options->dtype, "f32,f16", "Load", "run in these types; otherwise the model's own");
  option("--kernels", options->kernels, "torch,pollard", "Load",
         "LibTorch's operators, or the model lowered to fast kernels");
  option("--repeat", options->repeat, "N", "Measurement", "measured runs of each model, in turn")
      ->check(CLI::Range(1, 1000000));
  option("--warmup", options->warmup, "N", "Measurement", "runs before that")->check(CLI::Range(0, 1000000));
  option("--percentiles", options->percentiles, "LIST", "Measurement", "of the latency");
  option("-o,--output", options->format, "FORMAT", "Output", "text, md, csv, json or jsonl")
      ->check(CLI::IsMember({"text", "md", "csv", "json", "jsonl"}));
  option("--max-regress", options->max_regress, "5%", "Output", "exit 1 when slower than the first by more");
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
