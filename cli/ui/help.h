// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/App.hpp>
#include <functional>
#include <string>
#include <vector>

namespace pollard::cli {

struct CommandInfo;

/// One option as help, reference and completion show it.
struct OptionText {
  std::string names;                 ///< "-o, --output FILE"; a positional's name alone
  std::string description;           ///< ends with "(default X)" when there is one
  std::vector<std::string> choices;  ///< the values a checked option accepts
};
OptionText option_text(const CLI::Option& option);

/// Options of an app by group, in the order they were added. Positionals form the group "Arguments"; options with
/// an empty group name are hidden and left out.
std::vector<std::pair<std::string, std::vector<const CLI::Option*>>> option_groups(const CLI::App& app);

/// "pollard prune IN OUT [options]".
std::string usage_line(const CLI::App& app, const std::string& name);

/// Help pages: purpose, usage, examples, options in groups; at most 40 lines of at most 80 columns.
/// --help-all adds the group "More" and the global options, and at top level every command's page.
class HelpFormatter : public CLI::FormatterBase {
 public:
  using Lookup = std::function<const CommandInfo&(const CLI::App&)>;
  explicit HelpFormatter(Lookup lookup) : lookup_(std::move(lookup)) {}
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;

 private:
  Lookup lookup_;
};

}  // namespace pollard::cli
