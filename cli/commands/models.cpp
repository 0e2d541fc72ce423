// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/ui/format.h"
#include "cli/ui/text.h"
#include "models/registry.h"

namespace pollard::cli {
namespace {

Json to_json(const std::vector<models::Family>& families) {
  Json list = Json::array();
  for (const models::Family& family : families) {
    Json published = Json::array();
    for (const models::Published& size : family.published)
      published.push_back({{"name", size.name},
                           {"parameters", size.parameters},
                           {"spec", Json::parse(family.complete(size.spec_json))}});
    Json small = Json::array();
    for (const std::string& spec : family.small_specs) small.push_back(Json::parse(spec));
    list.push_back({{"name", family.name},
                    {"description", family.description},
                    {"published", published},
                    {"small_specs", small}});
  }
  return {{"families", list}};
}

/// For programs: a line a size.
Table to_table(const std::vector<models::Family>& families) {
  Table table({{"family"}, {"size"}, {"parameters", true}, {"what it is"}});
  for (const models::Family& family : families) {
    if (family.published.empty()) table.add({family.name, "-", "-", family.description});
    for (const models::Published& size : family.published)
      table.add({family.name, size.name, count_cell(size.parameters), family.description});
  }
  return table;
}

std::string sizes_text(const models::Family& family) {
  std::string out;
  for (const models::Published& size : family.published) {
    std::string count = format_short(static_cast<double>(size.parameters));
    std::erase(count, ' ');  // lines break at spaces
    out += fmt::format("{}{} ({})", out.empty() ? "" : ", ", size.name, count);
  }
  return out;
}

/// A paragraph a family: a table of so many columns would not fit a terminal.
void print_families(Context& context) {
  for (const models::Family& family : models::families()) {
    context.report(context.theme().paint(context.theme().subject, family.name));
    for (const std::string& text : {family.description, sizes_text(family)})
      for (const std::string& line : wrap(text, context.width() - 2))
        if (!line.empty()) context.report("  " + line);
  }
}

Exit run_models(Context& context) {
  if (context.json()) context.print_json(to_json(models::families()));
  if (context.globals().quiet)
    context.print(to_table(models::families()));
  else
    print_families(context);
  context.note(
      "any other network: export it with torch.export and torch.export.save, and give pollard the .pt2");
  return Exit::Ok;
}

}  // namespace

void add_models(CommandLine& line) {
  line.add({.name = "models",
            .section = "Setup",
            .purpose = "built-in families and their published sizes",
            .examples = {"pollard models", "pollard models --json", "pollard models -q | sort -k3n"}},
           run_models);
}

}  // namespace pollard::cli
