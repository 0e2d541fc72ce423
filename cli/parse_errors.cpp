// SPDX-License-Identifier: Apache-2.0
#include "cli/parse_errors.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <vector>

#include "cli/command_line.h"
#include "cli/ui/suggest.h"
#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

std::string did_you_mean(const std::string& typed, const std::vector<std::string>& known) {
  const auto meant = closest(typed, known);
  return meant ? fmt::format("; did you mean \"{}\"?", *meant) : "";
}

std::string help_hint(const CLI::App* command) {
  return command == nullptr ? "pollard --help lists the commands"
                            : fmt::format("pollard {} --help lists its options", command->get_name());
}

void append_option_names(const CLI::App& app, std::vector<std::string>& names) {
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
}

UserError unknown_command(const std::string& typed, const CommandLine& line) {
  const std::string hint = did_you_mean(typed, line.command_names());
  return usage_error("E0201", "", fmt::format("unknown command \"{}\"{}", typed, hint),
                     hint.empty() ? help_hint(nullptr) : "");
}

UserError unknown_option(const std::string& typed, const CommandLine& line) {
  std::vector<std::string> known;
  if (line.selected() != nullptr) append_option_names(*line.selected(), known);
  append_option_names(line.root(), known);
  const std::string name = typed.substr(0, typed.find('='));
  const std::string hint = did_you_mean(name, known);
  const std::string subject = line.selected() == nullptr ? "" : line.selected()->get_name();
  return usage_error("E0202", subject, fmt::format("unknown option \"{}\"{}", name, hint),
                     hint.empty() ? help_hint(line.selected()) : "");
}

UserError unexpected(const std::string& typed, const CommandLine& line) {
  if (typed.size() > 1 && typed[0] == '-') return unknown_option(typed, line);
  if (line.selected() == nullptr) return unknown_command(typed, line);
  return usage_error("E0204", line.selected()->get_name(), fmt::format("unexpected argument \"{}\"", typed),
                     help_hint(line.selected()));
}

std::vector<std::string> missing_arguments(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    if (option->get_required() && option->count() == 0) names.push_back(option->get_single_name());
  return names;
}

UserError missing(const CLI::ParseError& error, const CommandLine& line) {
  const CLI::App* command = line.selected();
  const auto names = command == nullptr ? std::vector<std::string>{} : missing_arguments(*command);
  const std::string message = names.empty() ? error.what() : "needs " + join(names, " and ");
  return usage_error("E0204", command == nullptr ? "" : command->get_name(), message, help_hint(command));
}

/// CLI11 says "--color: alway not in {auto,always,never}".
std::string meant_choice(const std::string& message) {
  const std::size_t not_in = message.find(" not in {"), end = message.rfind('}');
  const std::size_t typed = message.rfind(": ", not_in);
  if (not_in == std::string::npos || end == std::string::npos || typed == std::string::npos) return "";
  const std::string choices = message.substr(not_in + 9, end - not_in - 9);
  return did_you_mean(message.substr(typed + 2, not_in - typed - 2), split(choices, ','));
}

template <class... Kinds>
bool is_any(const CLI::ParseError& error) {
  return ((dynamic_cast<const Kinds*>(&error) != nullptr) || ...);
}

}  // namespace

UserError usage_error(std::string code, std::string subject, std::string message, std::string help) {
  return UserError({.code = std::move(code),
                    .exit = Exit::Usage,
                    .subject = std::move(subject),
                    .message = std::move(message),
                    .where = {},
                    .why = {},
                    .help = std::move(help)});
}

UserError usage_error(const CLI::ParseError& error, const CommandLine& line) {
  const std::vector<std::string> left_over = line.root().remaining(true);
  if (!left_over.empty()) return unexpected(left_over.front(), line);
  const std::string subject = line.selected() == nullptr ? "" : line.selected()->get_name();
  if (is_any<CLI::RequiredError>(error)) return missing(error, line);
  if (is_any<CLI::ConfigError, CLI::FileError>(error))
    return usage_error("E0209", "--config", error.what(),
                       "the file holds option names as TOML keys, one [table] a command");
  if (is_any<CLI::ExcludesError, CLI::RequiresError>(error))
    return usage_error("E0206", subject, error.what(), help_hint(line.selected()));
  if (is_any<CLI::ConversionError, CLI::ValidationError>(error))
    return usage_error("E0203", subject, error.what() + meant_choice(error.what()),
                       help_hint(line.selected()));
  return usage_error("E0204", subject, error.what(), help_hint(line.selected()));
}

}  // namespace pollard::cli
