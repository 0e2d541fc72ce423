// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/attention_to_ffn_run.h"
#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/health.h"
#include "cli/merge_tokens_run.h"
#include "cli/model_input.h"
#include "cli/monarch_report.h"
#include "cli/parse_errors.h"
#include "cli/prune_outcome.h"
#include "cli/report/report.h"
#include "cli/ui/format.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "models/io/cancel.h"
#include "pruning/monarch.h"

namespace pollard::cli {
namespace {

struct Options {
  std::string in, out, keep = "0.5", ignore, only, merge_tokens, report;
  std::int64_t blocks = 4;
  int repeat = 20;
  bool monarch = false, attention = false, dry_run = false, force = false;
  AttentionArguments networks;  ///< --size, --calib and the rest of --attention-to-ffn
  ModelInput input;
};

pruning::MonarchOptions monarch_options(const Options& o, std::uint64_t seed) {
  pruning::MonarchOptions options{.blocks = o.blocks, .keep = parse_fraction(o.keep, "--keep"), .seed = seed};
  if (!o.ignore.empty()) options.ignore = split(o.ignore, ',');
  if (!o.only.empty()) options.only = split(o.only, ',');
  return options;
}

void print(const pruning::MonarchReport& report, const BeforeAfter& m, Context& context) {
  context.report("errors    relative: of the weight, and of the layer's output on example inputs");
  context.print(monarch_layers(report));
  context.print(size_table(m));
  for (const std::string& left : report.left) context.note("left dense: " + printable(left));
  context.report(fmt::format("outputs   change by {} of their size: train the result further, or keep more",
                             format_fixed(report.output_change, 3)));
}

/// What writes the report, or nothing where none was asked for.
CompareHook reporter(const Options& options, const CommandLine& line) {
  if (options.report.empty()) return {};
  report::check_report_path(options.report, options.force);
  return [&](const models::Model& before, const models::Model& after, const BeforeAfter& figures) {
    const AnalysedModel m{
        .path = options.in, .model = before, .dependencies = graph::analyse(before.program)};
    const report::Findings findings{.model = m,
                                    .after = &after,
                                    .cost_after = &figures.after,
                                    .output = options.dry_run ? "" : options.out};
    report::write_report(report::document(findings, line), options.report, options.force);
  };
}

/// A network of another form is a program of its own; a file of weights alone would not say so.
void require_program(const std::string& out) {
  if (out.ends_with(".pt2")) return;
  throw usage_error("E0226", out, "is not a .pt2 file, which alone holds programs", "end the name in .pt2");
}

Exit run_monarch(const Options& options, const CompareHook& compared, Context& context) {
  const pruning::MonarchOptions how = monarch_options(options, context.globals().seed);
  require_program(options.out);
  if (!options.dry_run) models::check_save_path(options.out, {options.in}, options.force);
  const models::Model before = load_model(options.in, options.input);
  require_finite(before);
  models::Model after = before;
  const pruning::MonarchReport report = pruning::to_monarch(after, how);
  models::io::throw_if_cancelled();
  if (report.layers.empty())
    throw UserError({.code = "E0441",
                     .exit = Exit::Unsupported,
                     .subject = options.in,
                     .message = "has no weight that could become a Monarch matrix",
                     .where = {},
                     .why = report.left.empty() ? "it has no dense product with a weight of its own"
                                                : report.left.front(),
                     .help = "try other --blocks, a larger --keep, or another --only"});
  const BeforeAfter figures = compare(before, after, options.repeat, context);
  print(report, figures, context);
  if (!options.dry_run) {
    after.metadata.erase("pollard.plan");
    models::save(after, options.out, {.force = options.force});
  }
  if (compared) compared(before, after, figures);
  if (context.json())
    context.print_json(to_json(report, figures, options.in, options.dry_run ? "" : options.out));
  return close_run(options.in, options.out, !options.dry_run, "", context);
}

Exit run_attention(const Options& o, const CompareHook& compared, Context& context) {
  require_program(o.out);
  AttentionArguments arguments = o.networks;
  arguments.in = o.in, arguments.out = o.out;
  arguments.only = o.only, arguments.ignore = o.ignore;
  arguments.repeat = o.repeat;
  arguments.dry_run = o.dry_run, arguments.force = o.force;
  arguments.input = o.input;
  arguments.compared = compared;
  return run_attention_to_ffn(arguments, context);
}

Exit run_compress(const Options& o, const CommandLine& line, Context& context) {
  if (o.monarch + o.attention + !o.merge_tokens.empty() != 1)
    throw usage_error("E0206", "compress", "takes one form: --monarch, --attention-to-ffn or --merge-tokens",
                      "for example --merge-tokens r=8");
  const CompareHook compared = reporter(o, line);
  if (o.monarch) return run_monarch(o, compared, context);
  if (o.attention) return run_attention(o, compared, context);
  return run_merge_tokens({.in = o.in,
                           .out = o.out,
                           .text = o.merge_tokens,
                           .repeat = o.repeat,
                           .dry_run = o.dry_run,
                           .force = o.force,
                           .input = o.input,
                           .compared = compared},
                          context);
}

void add_attention(CLI::App& app, Options& o) {
  app.add_flag("--attention-to-ffn", o.attention,
               "feed-forward networks, trained on samples, replace attention")
      ->group("Form");
  const auto option = [&](const char* name, auto& value, const char* type, const char* text) {
    return app.add_option(name, value, text)->type_name(type)->group("Attention");
  };
  option("--calib", o.networks.calibration, "FILE", "samples: .safetensors, .npz or text");
  option("--tokenizer", o.networks.tokenizer, "FOLDER", "the samples are text, a line each");
  option("--samples", o.networks.samples, "N", "only the first N of them")
      ->check(CLI::Range(2, 1 << 30))
      ->group("More");
  option("--size", o.networks.size, "S", "of the networks: XS, S, M, L or XL");
  option("--max-length", o.networks.positions, "N", "longest sequence; that of the samples unless given")
      ->check(CLI::Range(2, 1 << 20))
      ->group("More");
  option("--epochs", o.networks.epochs, "N", "passes over the samples")
      ->check(CLI::Range(1, 100000))
      ->group("More");
  option("--lr", o.networks.rate, "1e-4", "rate of Adam")->group("More");
}

}  // namespace

void add_compress(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app =
      line.add({.name = "compress",
                .section = "Shrink",
                .purpose = "other forms of layers: Monarch, merged tokens, no attention",
                .examples = {"pollard compress model.pt2 monarch.pt2 --monarch",
                             "pollard compress model.pt2 ffn.pt2 --attention-to-ffn --calib ids.npy",
                             "pollard compress deit.pt2 merged.pt2 --merge-tokens r=8"}},
               [options, &line](Context& context) { return run_compress(*options, line, context); });
  const auto option = [&](const char* name, auto& value, const char* type, const char* group,
                          const char* text) {
    return app->add_option(name, value, text)->type_name(type)->group(group);
  };
  app->add_option("IN", options->in, "the model")->type_name("FILE")->required();
  app->add_option("OUT", options->out, "the smaller model: .pt2 (merged tokens: .safetensors too)")
      ->type_name("FILE")
      ->required();
  app->add_flag("--monarch", options->monarch, "dense weights become products of two block-diagonal ones")
      ->group("Form");
  option("--merge-tokens", options->merge_tokens, "r=8", "Form",
         "so many tokens of a vision transformer merge in each layer");
  option("--keep", options->keep, "0.5", "Form", "at most this share of each layer's weights stays");
  option("--blocks", options->blocks, "N", "Form", "blocks of each factor")->check(CLI::Range(2, 4096));
  add_attention(*app, *options);
  option("--only", options->only, "GLOBS", "Scope", "only these weights: 'layers.*.linear1.*'");
  option("--ignore", options->ignore, "GLOBS", "Scope", "leave these weights dense");
  option("--repeat", options->repeat, "N", "More", "timed runs of each model; 0 = do not time")
      ->check(CLI::Range(0, 100000));
  option("--report", options->report, "FILE", "Safety", "a page with both forms' figures: .html or .json");
  app->add_flag("--dry-run", options->dry_run, "write nothing")->group("Safety");
  app->add_flag("--force", options->force, "replace an existing OUT")->group("Safety");
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
