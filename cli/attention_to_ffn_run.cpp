// SPDX-License-Identifier: Apache-2.0
#include "cli/attention_to_ffn_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/before_after.h"
#include "cli/health.h"
#include "cli/parse_errors.h"
#include "cli/prune_outcome.h"
#include "cli/ui/format.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "models/io/cancel.h"
#include "pruning/attention_to_ffn.h"

namespace pollard::cli {
namespace {

/// The rate of Adam: a number above zero.
double parse_rate(const std::string& text) {
  char* end = nullptr;
  const double rate = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != 0 || !(rate > 0) || rate > 1)
    throw usage_error("E0203", "--lr", fmt::format("\"{}\" is no rate between 0 and 1", text),
                      "for example 1e-4");
  return rate;
}

pruning::SentenceTraining training(const AttentionArguments& a, std::uint64_t seed) {
  pruning::SentenceTraining out{.size = a.size,
                                .positions = a.positions,
                                .epochs = a.epochs,
                                .learning_rate = parse_rate(a.rate),
                                .seed = seed};
  static_cast<void>(pruning::sentence_width(a.size, 1));  // a wrong name fails before any work
  if (!a.only.empty()) out.only = split(a.only, ',');
  if (!a.ignore.empty()) out.ignore = split(a.ignore, ',');
  return out;
}

Table layer_table(const pruning::SentenceReport& report) {
  Table table({{"layer", false, Column::Cut::Middle},
               {"reads", true},
               {"hidden", true},
               {"gives", true},
               {"untrained", true},
               {"trained", true}});
  for (const pruning::SentenceLayer& layer : report.layers)
    table.add({layer.name, count_cell(layer.input_width), count_cell(layer.hidden),
               count_cell(layer.output_width),
               number_cell(layer.error_before, format_fixed(layer.error_before, 3)),
               number_cell(layer.error, format_fixed(layer.error, 3))});
  return table;
}

Json to_json(const pruning::SentenceReport& report, const BeforeAfter& figures, const AttentionArguments& a) {
  Json layers = Json::array();
  for (const pruning::SentenceLayer& layer : report.layers)
    layers.push_back({{"name", layer.name},
                      {"input_width", layer.input_width},
                      {"hidden", layer.hidden},
                      {"output_width", layer.output_width},
                      {"error_before", layer.error_before},
                      {"error", layer.error}});
  Json json{{"input", a.in},
            {"output", a.dry_run ? Json() : Json(a.out)},
            {"layers", layers},
            {"left", report.left},
            {"samples", report.samples},
            {"held_out", report.held_out},
            {"output_change", report.output_change},
            {"input_bytes", file_size(a.in)}};
  add_to(json, figures);
  if (!a.dry_run) json["output_bytes"] = file_size(a.out);
  return json;
}

pruning::CalibrationSet read_sentences(const AttentionArguments& a, const models::Model& model) {
  if (a.calibration.empty())
    throw usage_error("E0210", "--attention-to-ffn", "needs samples to train the networks on",
                      "give some with --calib FILE");
  return pruning::read_calibration(a.calibration, model.program,
                                   {.tokenizer = a.tokenizer, .most = a.samples});
}

[[noreturn]] void nothing_to_replace(const AttentionArguments& a, const pruning::SentenceReport& report) {
  throw UserError({.code = "E0441",
                   .exit = Exit::Unsupported,
                   .subject = a.in,
                   .message = "has no attention that a network over the whole sequence could replace",
                   .where = {},
                   .why = report.left.empty() ? "it has no attention over the positions of a sequence"
                                              : report.left.front(),
                   .help = "try another --only; causal attention stays as it is"});
}

}  // namespace

Exit run_attention_to_ffn(const AttentionArguments& a, Context& context) {
  pruning::SentenceTraining how = training(a, context.globals().seed);
  if (!a.dry_run) models::check_save_path(a.out, {a.in}, a.force);
  const models::Model before = load_model(a.in, a.input);
  require_finite(before);
  const pruning::CalibrationSet samples = read_sentences(a, before);
  models::Model after = before;
  std::unique_ptr<Progress> progress;
  std::string current;
  how.progress = [&](const std::string& layer, int epoch, double) {
    if (layer != current) progress.reset(new Progress(context.progress(layer, a.epochs, "epochs")));
    current = layer;
    progress->update(epoch);
  };
  const pruning::SentenceReport report = pruning::attention_to_ffn(after, samples, how);
  progress.reset();
  if (report.layers.empty()) nothing_to_replace(a, report);
  const BeforeAfter figures = compare(before, after, a.repeat, context);
  context.report(fmt::format("errors    relative, of what attention gives on {} of {} samples not trained on",
                             report.held_out, report.samples));
  context.print(layer_table(report));
  context.print(size_table(figures));
  for (const std::string& left : report.left) context.note("left as it is: " + printable(left));
  context.report(
      fmt::format("outputs   change by {} of their size: train the result further, or a larger --size",
                  format_fixed(report.output_change, 3)));
  if (!a.dry_run) {
    after.metadata.erase("pollard.plan");
    models::save(after, a.out, {.force = a.force});
  }
  if (a.compared) a.compared(before, after, figures);
  if (context.json()) context.print_json(to_json(report, figures, a));
  return close_run(a.in, a.out, !a.dry_run, "", context);
}

}  // namespace pollard::cli
