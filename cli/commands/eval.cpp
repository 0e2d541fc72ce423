// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/model_input.h"
#include "cli/parse_errors.h"
#include "cli/runtime.h"
#include "cli/train_options.h"
#include "cli/train_report.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "training/evaluate.h"

namespace pollard::cli {
namespace {

struct Options {
  std::vector<std::string> paths;  ///< models, then the data
  std::string metric, baseline, least;
  SampleArguments samples;
  ModelInput input;
  at::Device device = at::kCPU;
};

using Figures = std::vector<training::Metrics::Figure>;

const training::Metrics::Figure* find(const Figures& figures, const std::string& name) {
  for (const training::Metrics::Figure& figure : figures)
    if (figure.name == name) return &figure;
  return nullptr;
}

/// The figures asked for, or all.
Figures chosen(const Figures& all, const std::string& names) {
  if (names.empty()) return all;
  Figures out;
  for (const std::string& name : split(names, ',')) {
    const auto* figure = find(all, name);
    std::vector<std::string> known;
    for (const training::Metrics::Figure& f : all) known.push_back(f.name);
    if (!figure)
      throw usage_error("E0203", "--metric", "\"" + name + "\" is no figure of this model and data",
                        "there are: " + join(known, ", "));
    out.push_back(*figure);
  }
  return out;
}

/// "top1=93.0,loss=0.3": shares in percent. Returns what does not hold.
std::vector<std::string> missed(const std::string& gates, const Figures& figures, const std::string& model) {
  std::vector<std::string> out;
  if (gates.empty()) return out;
  for (const std::string& gate : split(gates, ',')) {
    const std::size_t equals = gate.find('=');
    const auto* figure = equals == std::string::npos ? nullptr : find(figures, gate.substr(0, equals));
    if (!figure)
      throw usage_error("E0203", "--min", "\"" + gate + "\" is no figure and its bound",
                        "for example --min top1=93.0");
    const double bound = parse_number(gate.substr(equals + 1), "--min") / (is_share(figure->name) ? 100 : 1);
    const bool holds = figure->larger_is_better ? figure->value >= bound : figure->value <= bound;
    if (!holds) out.push_back(fmt::format("{}: {}, asked for {}", model, figure_text(*figure), gate));
  }
  return out;
}

Figures measure(const std::string& path, const Options& o, training::TrainedModel* baseline,
                Context& context) {
  training::TrainedModel network(load_model(path, o.input), o.device);
  const auto data =
      training::open_evaluation_data(o.paths.back(), network.model().program, data_options(o.samples));
  if (data->left_out > 0) context.warn(fmt::format("{} corrupt samples were left out", data->left_out));
  const training::Augmentation augmentation(o.samples.augment);
  Progress progress = context.progress(path, data->size(), "samples");
  const training::EvaluationOptions how{
      .batch = o.samples.batch,
      .objective = {objective_kind(o.samples), 0, printable(o.paths.back())},
      .skip_bad = o.samples.skip_bad,
      .loaders = o.samples.loaders,
      .autocast = o.samples.amp,
      .progress = [&](std::int64_t done) { progress.update(done); }};
  return training::evaluate(network, network.weights(), *data, augmentation, kernels::world(), how, baseline)
      .figures();
}

void print(const std::vector<std::pair<std::string, Figures>>& rows, Context& context) {
  std::vector<Column> columns{{.title = "model", .cut = Column::Cut::Middle}};
  for (const auto& figure : rows.front().second) columns.push_back({.title = figure.name, .number = true});
  Table table(columns);
  Json models = Json::array();
  for (const auto& [path, figures] : rows) {
    std::vector<Cell> cells{path};
    Json json{{"model", path}};
    for (const training::Metrics::Figure& figure : figures) {
      cells.push_back(number_cell(figure.value, is_share(figure.name)
                                                    ? fmt::format("{:.2f} %", 100 * figure.value)
                                                    : fmt::format("{:.4f}", figure.value)));
      json[figure.name] = figure.value;
    }
    table.add(std::move(cells));
    models.push_back(std::move(json));
  }
  context.print(table);
  if (context.json()) context.print_json({{"models", models}});
}

Exit run_eval(Options& o, Context& context) {
  if (o.paths.size() < 2) throw usage_error("E0204", "eval", "takes one model or more, and then the data");
  o.device = choose_device(context.globals().device);
  std::unique_ptr<training::TrainedModel> baseline;
  if (!o.baseline.empty())
    baseline = std::make_unique<training::TrainedModel>(load_model(o.baseline, {}), o.device);
  std::vector<std::pair<std::string, Figures>> rows;
  std::vector<std::string> misses;
  for (std::size_t i = 0; i + 1 < o.paths.size(); ++i) {
    const Figures all = measure(o.paths[i], o, baseline.get(), context);
    for (std::string& miss : missed(o.least, all, o.paths[i])) misses.push_back(std::move(miss));
    rows.emplace_back(o.paths[i], chosen(all, o.metric));
  }
  if (!kernels::world().first()) return misses.empty() ? Exit::Ok : Exit::GateFailed;
  print(rows, context);
  for (const std::string& miss : misses) context.note("FAILED    " + miss);
  return misses.empty() ? Exit::Ok : Exit::GateFailed;
}

}  // namespace

void add_eval(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app =
      line.add({.name = "eval",
                .section = "Judge",
                .purpose = "accuracy, loss and other figures on a data set",
                .examples = {"pollard eval model.pt2 data.safetensors",
                             "pollard eval model.pt2 small.pt2 data.safetensors --metric top1,loss",
                             "pollard eval small.pt2 data.safetensors --baseline model.pt2"}},
               [options](Context& context) { return run_eval(*options, context); });
  app->add_option("MODEL", options->paths, "models; and last DATA, the folder or file of samples")
      ->type_name("PATH")
      ->required();
  app->add_option("--metric", options->metric, "only these, such as top1,loss,f1,group-gap")
      ->type_name("NAMES");
  app->add_option("--baseline", options->baseline, "compare outputs with this model's: fidelity")
      ->type_name("MODEL");
  app->add_option("--min", options->least, "exit 1 unless reached: top1=93.0 (losses: at most)")
      ->type_name("M=X");
  add_sample_options(*app, options->samples);
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
