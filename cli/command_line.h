// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "cli/context.h"
#include "graph/error.h"

namespace pollard::cli {

/// What the help says about a command besides its options.
struct CommandInfo {
  std::string name;
  std::string section;                ///< "Look", "Shrink", "Judge", "Ship", "Setup"; "" hides the command
  std::string purpose;                ///< one line
  std::vector<std::string> examples;  ///< whole command lines; tests run them
};

/// An option as this run has it.
struct OptionValue {
  std::string name, value;  ///< "--ratio", "0.5"
  std::string source;       ///< "command line", "environment, POLLARD_X", "config file" or "default"
};

/// The parser: `pollard`, its global options, and the commands that add themselves to it.
/// Options in the group "More" show only with --help-all.
class CommandLine {
 public:
  using Action = std::function<Exit(Context&)>;

  CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// A new command; the caller adds its options to the result.
  CLI::App* add(CommandInfo info, Action action);

  /// Throws UserError (Exit::Usage) for anything wrong with the line, CLI::Success for --help and --version.
  void parse(std::span<const std::string> arguments);

  /// The command that was parsed; nullptr when none was given.
  const CLI::App* selected() const;
  const Action& action() const;

  CLI::App& root() { return root_; }
  const CLI::App& root() const { return root_; }
  const Globals& globals() const { return globals_; }
  const CommandInfo& info(const CLI::App& app) const;
  std::vector<std::string> command_names() const;
  std::string help() const { return root_.help(); }
  std::string help_all() const { return root_.help("", CLI::AppFormatMode::All); }

  /// Every option of the command and the global ones, set or not. Flags are "yes" or "no".
  std::vector<OptionValue> effective_options() const;
  /// One line for each option that was set: its name, value, and whether flag, environment or config file said so.
  std::vector<std::string> option_sources() const;

 private:
  void add_global_options();
  void append_options(const CLI::App& app, std::vector<OptionValue>& out) const;
  std::string source_of(const CLI::Option& option) const;

  CLI::App root_;
  Globals globals_;
  std::map<const CLI::App*, CommandInfo> infos_;
  std::map<const CLI::App*, Action> actions_;
  std::vector<std::string> arguments_;
};

}  // namespace pollard::cli
