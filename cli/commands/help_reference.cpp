// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/op_reference.h"
#include "cli/ui/help.h"

namespace pollard::cli {
namespace {

std::string markdown_cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string option_tables(const CLI::App& app) {
  std::string out;
  for (const auto& [group, options] : option_groups(app)) {
    out += fmt::format("\n| {} | |\n| --- | --- |\n", group);
    for (const CLI::Option* option : options) {
      const OptionText text = option_text(*option);
      out += fmt::format("| `{}` | {} |\n", markdown_cell(text.names), markdown_cell(text.description));
    }
  }
  return out;
}

std::string command_section(const CommandLine& line, const CLI::App& app) {
  const CommandInfo& info = line.info(app);
  const std::string name = app.get_parent() == nullptr ? info.name : "pollard " + info.name;
  std::string out =
      fmt::format("\n## {}\n\n{}\n\n```\n{}\n```\n\n", name, info.purpose, usage_line(app, name));
  if (!info.examples.empty()) out += "```\n";
  for (const std::string& example : info.examples) out += "$ " + example + "\n";
  return out + (info.examples.empty() ? "" : "```\n") + option_tables(app);
}

std::string reference(const CommandLine& line) {
  std::string out =
      "# Command reference\n\n"
      "Written by `pollard help-reference` from the parser itself; a test keeps this file equal to it.\n";
  out += command_section(line, line.root());
  for (const CLI::App* app : line.root().get_subcommands({}))
    if (!app->get_group().empty()) out += command_section(line, *app);
  return out;
}

}  // namespace

void add_help_reference(CommandLine& line) {
  line.add(
      {.name = "help-reference", .section = "", .purpose = "this reference, as Markdown", .examples = {}},
      [&line](Context& context) {
        if (context.json()) context.print_json({{"markdown", reference(line)}});
        context.print(reference(line));
        return Exit::Ok;
      });
  line.add({.name = "op-reference", .section = "", .purpose = "the op rules, as Markdown", .examples = {}},
           [](Context& context) {
             if (context.json()) context.print_json({{"markdown", op_reference()}});
             context.print(op_reference());
             return Exit::Ok;
           });
}

}  // namespace pollard::cli
