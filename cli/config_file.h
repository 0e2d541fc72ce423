// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/ConfigFwd.hpp>
#include <iosfwd>
#include <string>
#include <vector>

namespace pollard::cli {

/// "log-file" -> "POLLARD_LOG_FILE".
std::string environment_name(const std::string& option);

/// Reads --config files: TOML, option names as keys, a table for each command:
///   threads = 4
///   [prune]
///   criterion = "magnitude:p=1"
/// An option that the environment sets is left out, so the order stays flag, environment, file, default.
/// Throws CLI::ConfigError with line and column when the file is not TOML or a value is no scalar or list.
class TomlConfig : public CLI::Config {
 public:
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;
  std::string to_config(const CLI::App* app, bool default_also, bool write_description,
                        std::string prefix) const override;
};

}  // namespace pollard::cli
