// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/completion.h"

#include <fmt/format.h>

#include <vector>

#include "cli/ui/help.h"
#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

std::vector<const CLI::App*> visible_commands(const CLI::App& root) {
  std::vector<const CLI::App*> commands;
  for (const CLI::App* app : root.get_subcommands({}))
    if (!app->get_group().empty()) commands.push_back(app);
  return commands;
}

std::vector<std::string> command_names(const CLI::App& root) {
  std::vector<std::string> names;
  for (const CLI::App* app : visible_commands(root)) names.push_back(app->get_name());
  return names;
}

std::vector<std::string> dashed_names(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// The convention of the commands: an option whose value is a path has the type FILE.
bool takes_file(const CLI::Option& option) { return option.get_type_name().starts_with("FILE"); }

std::vector<const CLI::Option*> visible_options(const CLI::App& app) {
  std::vector<const CLI::Option*> options;
  for (const CLI::Option* option : app.get_options())
    if (!option->get_group().empty()) options.push_back(option);
  return options;
}

std::vector<std::string> option_words(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::Option* option : visible_options(app)) {
    const auto names = dashed_names(*option);
    words.insert(words.end(), names.begin(), names.end());
    if (!names.empty()) continue;
    const auto choices = option_text(*option).choices;
    words.insert(words.end(), choices.begin(), choices.end());
  }
  return words;
}

// Case arms "command:--option) values" for the options whose values are known, then for all that take any value.
std::string bash_value_arms(const CLI::App& app, const std::string& command) {
  std::string arms;
  for (const CLI::Option* option : app.get_options()) {
    const auto names = dashed_names(*option);
    if (names.empty() || !takes_value(*option)) continue;
    std::vector<std::string> patterns;
    for (const std::string& name : names) patterns.push_back(command + ":" + name);
    const auto choices = option_text(*option).choices;
    arms +=
        fmt::format("    {}) {}; return ;;\n", join(patterns, "|"),
                    takes_file(*option) ? "_pollard_files" : "_pollard_words \"" + join(choices, " ") + "\"");
  }
  return arms;
}

// Single quotes as both zsh and fish read them within single quotes.
std::string quoted(const std::string& text, std::string_view escaped_quote) {
  std::string out = "'";
  for (const char c : text) c == '\'' ? out += escaped_quote : out += c;
  return out + "'";
}

std::string zsh_bracketed(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_value(const CLI::Option& option, const OptionText& text) {
  if (!text.choices.empty()) return "(" + join(text.choices, " ") + ")";
  return takes_file(option) || option.get_positional() ? "_files" : " ";
}

std::string zsh_specs(const CLI::App& app) {
  std::string out;
  for (const CLI::Option* option : visible_options(app)) {
    const OptionText text = option_text(*option);
    const std::string value = zsh_value(*option, text);
    const auto names = dashed_names(*option);
    if (names.empty()) out += " \\\n        " + quoted("*:" + text.names + ":" + value, "'\\''");
    for (const std::string& name : names) {
      std::string spec = name + "[" + zsh_bracketed(text.description) + "]";
      if (takes_value(*option)) spec += ":value:" + value;
      out += " \\\n        " + quoted(spec, "'\\''");
    }
  }
  return out;
}

std::string fish_option(const CLI::Option& option, const std::string& condition) {
  if (dashed_names(option).empty()) return "";
  std::string line = "complete -c pollard -n " + quoted(condition, "\\'");
  for (const std::string& name : option.get_snames()) line += " -s " + name;
  for (const std::string& name : option.get_lnames()) line += " -l " + name;
  const OptionText text = option_text(option);
  if (takes_file(option))
    line += " -r";
  else if (takes_value(option))
    line += " -x" + (text.choices.empty() ? "" : " -a " + quoted(join(text.choices, " "), "\\'"));
  return line + " -d " + quoted(text.description, "\\'") + "\n";
}

std::string fish_positional(const CLI::Option& option, const std::string& condition) {
  const OptionText text = option_text(option);
  if (!dashed_names(option).empty() || text.choices.empty()) return "";
  return fmt::format("complete -c pollard -n {} -f -a {}\n", quoted(condition, "\\'"),
                     quoted(join(text.choices, " "), "\\'"));
}

}  // namespace

std::string bash_completion(const CLI::App& root) {
  const std::string commands = join(command_names(root), " ");
  std::string values = bash_value_arms(root, "*"), words;
  for (const CLI::App* app : visible_commands(root)) {
    values += bash_value_arms(*app, app->get_name());
    words += fmt::format("    {}) words=\"{}\" ;;\n", app->get_name(), join(option_words(*app), " "));
  }
  return fmt::format(R"(# bash completion for pollard
_pollard_words() {{ mapfile -t COMPREPLY < <(compgen -W "$1" -- "${{COMP_WORDS[COMP_CWORD]}}"); }}
_pollard_files() {{ mapfile -t COMPREPLY < <(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"); }}
_pollard() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" command="" words="" word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in
    {}) command="$word"; break ;;
    esac
  done
  case "$command:$previous" in
{}  esac
  case "$command" in
    "") words="{}" ;;
{}  esac
  _pollard_words "$words {}"
  if [[ -n $command && $current != -* ]]; then
    local found=("${{COMPREPLY[@]}}")
    _pollard_files
    COMPREPLY=("${{found[@]}}" "${{COMPREPLY[@]}}")
  fi
}}
complete -o filenames -F _pollard pollard
)",
                     join(command_names(root), "|"), values, commands, words, join(option_words(root), " "));
}

std::string zsh_completion(const CLI::App& root) {
  std::string commands, cases;
  for (const CLI::App* app : visible_commands(root)) {
    commands += fmt::format("    {}\n",
                            quoted(app->get_name() + ":" + zsh_bracketed(app->get_description()), "'\\''"));
    cases +=
        fmt::format("      {})\n        _arguments $global_options{} ;;\n", app->get_name(), zsh_specs(*app));
  }
  return fmt::format(R"(#compdef pollard
_pollard() {{
  local context state line
  local -a commands global_options
  commands=(
{}  )
  global_options=({}
  )
  _arguments -C $global_options '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe -t commands command commands ;;
    argument)
      case $words[1] in
{}      esac ;;
  esac
}}
if [ "$funcstack[1]" = "_pollard" ]; then _pollard "$@"; else compdef _pollard pollard; fi
)",
                     commands, zsh_specs(root), cases);
}

std::string fish_completion(const CLI::App& root) {
  std::string out = "# fish completion for pollard\n";
  for (const CLI::App* app : visible_commands(root))
    out += fmt::format("complete -c pollard -n __fish_use_subcommand -f -a {} -d {}\n", app->get_name(),
                       quoted(app->get_description(), "\\'"));
  for (const CLI::Option* option : visible_options(root)) out += fish_option(*option, "true");
  for (const CLI::App* app : visible_commands(root)) {
    const std::string condition = "__fish_seen_subcommand_from " + app->get_name();
    for (const CLI::Option* option : visible_options(*app))
      out += fish_option(*option, condition) + fish_positional(*option, condition);
  }
  return out;
}

}  // namespace pollard::cli
