// SPDX-License-Identifier: Apache-2.0
#include "cli/merge_tokens_run.h"

#include <fmt/format.h>

#include "cli/before_after.h"
#include "cli/parse_errors.h"
#include "cli/prune_outcome.h"
#include "cli/ui/format.h"
#include "cli/ui/quantity.h"
#include "cli/ui/text.h"
#include "models/io/cancel.h"

namespace pollard::cli {
namespace {

constexpr const char* kOption = "--merge-tokens";

Json to_json(const models::MergedTokens& merged, const BeforeAfter& f, const std::string& in,
             const std::string& out) {
  Json json{{"input", in},
            {"output", out.empty() ? Json() : Json(out)},
            {"form", "token merging"},
            {"family", merged.model.family},
            {"schedule", merged.schedule},
            {"output_change", merged.output_change}};
  add_to(json, f);
  return json;
}

std::string schedule_text(const std::vector<std::int64_t>& schedule) {
  std::string out;
  for (const std::int64_t r : schedule) out += (out.empty() ? "" : " ") + std::to_string(r);
  return out;
}

}  // namespace

models::MergeOptions parse_merge_tokens(const std::string& text) {
  models::MergeOptions options{.r = -1};
  for (const std::string& part : split(text, ',')) {
    const auto equals = part.find('=');
    const std::string name = part.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : part.substr(equals + 1);
    if (name == "r")
      options.r = parse_count(value, kOption);
    else if (name == "inflect")
      options.inflect = parse_number(value, kOption);
    else
      throw usage_error("E0203", kOption, "knows r and inflect, not \"" + printable(name) + "\"",
                        "for example --merge-tokens r=8 or r=8,inflect=-1");
  }
  if (options.r < 0)
    throw usage_error("E0203", kOption, "needs the number of tokens that leave in each layer",
                      "for example --merge-tokens r=8");
  if (options.inflect < -1 || options.inflect > 1)
    throw usage_error("E0203", kOption, "inflect lies between -1 and 1",
                      "leave it out for the same r everywhere");
  return options;
}

Exit run_merge_tokens(const MergeTokensArguments& a, Context& context) {
  models::MergeOptions options = parse_merge_tokens(a.text);
  if (!a.input.spec_file.empty()) options.spec_json = read_text_file(a.input.spec_file);
  if (!a.dry_run) models::check_save_path(a.out, {a.in}, a.force);
  const models::Model before = load_model(a.in, a.input);
  const models::MergedTokens merged = models::merge_tokens(before, options);
  models::io::throw_if_cancelled();
  const BeforeAfter figures = compare(before, merged.model, a.repeat, context);
  context.report(fmt::format("merges    {} tokens in the layers of this {}", schedule_text(merged.schedule),
                             merged.model.family));
  context.print(size_table(figures));
  context.report(fmt::format("outputs   change by {} of their size, with the weights as they are",
                             format_fixed(merged.output_change, 3)));
  if (!a.dry_run) models::save(merged.model, a.out, {.force = a.force});
  if (a.compared) a.compared(before, merged.model, figures);
  if (context.json()) context.print_json(to_json(merged, figures, a.in, a.dry_run ? "" : a.out));
  if (a.dry_run) {
    context.report("dry run: nothing written");
    return Exit::Ok;
  }
  context.report(fmt::format("wrote     {}  {}", a.out, format_bytes(static_cast<double>(file_size(a.out)))));
  context.next(fmt::format("pollard prune {} small.pt2 --speedup 2x", a.out));
  return Exit::Ok;
}

}  // namespace pollard::cli
