// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "cli/config_file.h"
#include "cli/parse_errors.h"
#include "cli/ui/help.h"
#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

constexpr const char* config_variable = "POLLARD_CONFIG";

bool names_config(const std::string& argument) {
  return argument == "--config" || argument.starts_with("--config=");
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The parser opens what exists: a pipe would keep it waiting, a device would never end.
void check_config(const std::string& path) {
  std::error_code error;
  if (path.empty() || !std::filesystem::exists(path, error) || std::filesystem::is_regular_file(path, error))
    return;
  throw usage_error("E0209", "--config", printable(path) + " is not a regular file",
                    "copy the options into a file first");
}

void check_configs(const std::vector<std::string>& arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) check_config(arguments[i + 1]);
    if (arguments[i].starts_with("--config=")) check_config(arguments[i].substr(arguments[i].find('=') + 1));
  }
}

// Whether an argument spells this option: --name, --name=value, -n, or n within -vqn.
bool spells(const std::string& argument, const CLI::Option& option) {
  if (argument.starts_with("--")) return option.check_lname(argument.substr(2, argument.find('=') - 2));
  if (argument.size() < 2 || argument[0] != '-') return false;
  const auto& names = option.get_snames();
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return argument.find(name, 1) != std::string::npos; });
}

}  // namespace

CommandLine::CommandLine() : root_("structural pruning of PyTorch networks", "pollard") {
  root_.option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  root_.set_help_flag("-h,--help", "this page; after a command, that command's")->group("Global");
  root_.set_help_all_flag("--help-all", "every option of every command")->group("Global");
  root_.formatter(std::make_shared<HelpFormatter>(
      [this](const CLI::App& app) -> const CommandInfo& { return info(app); }));
  root_.allow_config_extras(CLI::config_extras_mode::error);
  root_.require_subcommand(0, 1);
  root_.fallthrough();  // commands inherit it: global options may follow the command
  infos_[&root_] = {
      .name = "pollard",
      .section = "",
      .purpose = "Makes trained PyTorch networks smaller, and proves they compute the same.",
      .examples = {"pollard inspect model.pt2", "pollard prune model.pt2 small.pt2 --speedup 2x",
                   "pollard bench model.pt2 small.pt2 --batch 1,8"}};
  add_global_options();
}

void CommandLine::add_global_options() {
  auto* app = &root_;
  app->add_flag("-V,--version")->description("versions of pollard, LibTorch, CUDA; the CPU");
  app->add_flag("-v,--verbose", globals_.verbosity, "say more; -vv for everything");
  app->add_flag("-q,--quiet", globals_.quiet, "data only: tables as TSV, no narration");
  app->add_flag("--json", globals_.json, "one line of JSON on stdout");
  app->add_option("--color", globals_.color, "auto, always or never")
      ->type_name("WHEN")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  app->add_option("--device", globals_.device, "auto, cpu, cuda or cuda:N")->type_name("DEVICE");
  app->add_option("--threads", globals_.threads, "CPU threads; 0 leaves it to LibTorch")
      ->type_name("N")
      ->check(CLI::Range(0, 4096));
  app->add_option("--seed", globals_.seed, "for everything random")->type_name("N");
  app->add_option("--log-file", globals_.log_file, "also write a detailed log here")->type_name("FILE");
  app->add_flag("--no-progress", globals_.no_progress, "no progress bars");
  app->set_config("--config", "", "TOML file of options; a [command] table each")->type_name("FILE");
  app->config_formatter(std::make_shared<TomlConfig>());
  for (CLI::Option* option : app->get_options()) {
    const std::string name = option->get_single_name();
    // What few need leaves the first page to the commands.
    option->group(name == "color" || name == "log-file" || name == "no-progress" ? "More" : "Global");
    if (name == "help" || name == "help-all" || name == "version" || name == "config") continue;
    option->envname(environment_name(name));
  }
}

CLI::App* CommandLine::add(CommandInfo info, Action action) {
  CLI::App* app = root_.add_subcommand(info.name, info.purpose);
  app->group(info.section);
  app->get_help_ptr()->group("");
  app->set_help_all_flag("--help-all", "every option, the global ones too")->group("");
  infos_[app] = std::move(info);
  actions_[app] = std::move(action);
  return app;
}

void CommandLine::parse(std::span<const std::string> arguments) {
  arguments_.assign(arguments.begin(), arguments.end());
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  const std::string config = variable(config_variable);
  if (!config.empty() && std::none_of(arguments.begin(), arguments.end(), names_config))
    reversed.push_back("--config=" + config);
  check_configs({reversed.rbegin(), reversed.rend()});
  try {
    root_.parse(reversed);
  } catch (const CLI::Success&) {
    throw;
  } catch (const CLI::ParseError& error) {
    throw usage_error(error, *this);
  }
  if (root_.get_option("--version")->count() > 0) throw CLI::CallForVersion();
}

const CLI::App* CommandLine::selected() const {
  const auto chosen = root_.get_subcommands();
  return chosen.empty() ? nullptr : chosen.front();
}

const CommandLine::Action& CommandLine::action() const {
  POLLARD_CHECK(selected() != nullptr, "no command was parsed");
  return actions_.at(selected());
}

const CommandInfo& CommandLine::info(const CLI::App& app) const {
  const auto found = infos_.find(&app);
  POLLARD_CHECK(found != infos_.end(), "help asked for unknown command " + app.get_name());
  return found->second;
}

std::vector<std::string> CommandLine::command_names() const {
  std::vector<std::string> names;
  for (const CLI::App* app : root_.get_subcommands({}))
    if (!app->get_group().empty()) names.push_back(app->get_name());
  return names;
}

std::vector<OptionValue> CommandLine::effective_options() const {
  std::vector<OptionValue> out;
  append_options(root_, out);
  if (selected() != nullptr) append_options(*selected(), out);
  return out;
}

void CommandLine::append_options(const CLI::App& app, std::vector<OptionValue>& out) const {
  for (const CLI::Option* option : app.get_options()) {
    const bool flag = option->get_items_expected_max() == 0, given = option->count() > 0;
    if (option == app.get_help_ptr() || option == app.get_help_all_ptr()) continue;
    out.push_back({.name = option->get_name(),
                   .value = flag ? (given ? "yes" : "no")
                                 : (given ? join(option->results(), ",") : option->get_default_str()),
                   .source = given ? source_of(*option) : "default"});
  }
}

std::vector<std::string> CommandLine::option_sources() const {
  std::vector<std::string> lines;
  for (const OptionValue& o : effective_options())
    if (o.source != "default")
      lines.push_back(fmt::format("option {} = {} ({})", o.name, printable(o.value), o.source));
  return lines;
}

std::string CommandLine::source_of(const CLI::Option& option) const {
  if (option.get_positional() || std::any_of(arguments_.begin(), arguments_.end(),
                                             [&](const std::string& a) { return spells(a, option); }))
    return "command line";
  const std::string name = option.get_envname();
  return !name.empty() && !variable(name.c_str()).empty() ? "environment, " + name : "config file";
}

}  // namespace pollard::cli
