// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/help.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <algorithm>

#include "cli/command_line.h"
#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

constexpr int page_width = 80;
constexpr int description_column = 26;
constexpr const char* extra_group = "More";

std::string two_columns(const std::string& left, const std::string& right) {
  std::string out, lead = "  " + left;
  if (display_width(lead) > description_column - 2) {
    out = lead + "\n";
    lead.clear();
  }
  for (const std::string& line : wrap(right, page_width - description_column)) {
    out += pad_right(lead, description_column) + line + "\n";
    lead.clear();
  }
  return out;
}

std::string options_page(const CLI::App& app, bool everything) {
  std::string out;
  for (const auto& [group, options] : option_groups(app)) {
    if (group == extra_group && !everything) continue;
    out += "\n" + group + ":\n";
    for (const CLI::Option* option : options) {
      const OptionText text = option_text(*option);
      out += two_columns(text.names, text.description);
    }
  }
  return out;
}

std::string commands_page(const CLI::App& root) {
  std::string out = "\n", previous;
  for (const CLI::App* app : root.get_subcommands({})) {
    if (app->get_group().empty()) continue;
    const std::string section = app->get_group() == previous ? "" : app->get_group();
    out += pad_right(section, 8) + pad_right(app->get_name(), 12) + app->get_description() + "\n";
    previous = app->get_group();
  }
  return out;
}

std::string top(const CommandInfo& info, const CLI::App& app, const std::string& name) {
  std::string out = info.purpose + "\n\nusage: " + usage_line(app, name) + "\n";
  if (!info.examples.empty()) out += "\nExamples:\n";
  for (const std::string& example : info.examples) out += "  " + example + "\n";
  return out;
}

bool has_extra_options(const CLI::App& app) {
  const auto groups = option_groups(app);
  return std::any_of(groups.begin(), groups.end(), [](const auto& g) { return g.first == extra_group; });
}

std::vector<std::string> choices_in(const std::string& type) {
  const std::size_t open = type.find('{'), close = type.find('}');
  if (open == std::string::npos || close == std::string::npos) return {};
  return split(std::string_view(type).substr(open + 1, close - open - 1), ',');
}

}  // namespace

OptionText option_text(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  OptionText text{.names = {}, .description = option.get_description(), .choices = choices_in(type)};
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  text.names = names.empty() ? option.get_name(true) : join(names, ", ");
  const bool takes_value = option.get_items_expected_max() > 0 && !names.empty();
  if (takes_value) text.names += " " + type.substr(0, type.find(':'));
  if (takes_value && !option.get_default_str().empty())
    text.description += " (default " + option.get_default_str() + ")";
  return text;
}

std::vector<std::pair<std::string, std::vector<const CLI::Option*>>> option_groups(const CLI::App& app) {
  std::vector<std::pair<std::string, std::vector<const CLI::Option*>>> groups;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    const std::string name = option->get_positional() ? "Arguments" : option->get_group();
    auto found = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == name; });
    if (found == groups.end()) found = groups.emplace(found, name, std::vector<const CLI::Option*>{});
    found->second.push_back(option);
  }
  return groups;
}

std::string usage_line(const CLI::App& app, const std::string& name) {
  std::string out = name;
  if (!app.get_subcommands({}).empty()) out += " COMMAND";
  bool options = false;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) {
      options = true;
      continue;
    }
    std::string word = option->get_name(true);
    if (option->get_items_expected_max() > 1) word += "...";
    out += " " + (option->get_required() ? word : "[" + word + "]");
  }
  return out + (options ? " [options]" : "");
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const {
  const bool all = mode == CLI::AppFormatMode::All, is_root = app->get_parent() == nullptr;
  std::string out = top(lookup_(*app), *app, name);
  if (is_root) out += commands_page(*app);
  out += options_page(*app, all);
  if (is_root && all) {
    for (const CLI::App* command : app->get_subcommands({})) {
      if (command->get_group().empty()) continue;
      out += "\n" + std::string(page_width, '-') + "\n" +
             make_help(command, name + " " + command->get_name(), mode);
    }
  }
  if (is_root) return out;
  if (!all)
    return out + (has_extra_options(*app) ? "\nmore options: " : "\nglobal options: ") + name +
           " --help-all\n";
  return app->get_parent()->get_subcommands().empty() ? out : out + options_page(*app->get_parent(), true);
}

}  // namespace pollard::cli
