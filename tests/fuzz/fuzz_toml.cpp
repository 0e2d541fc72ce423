// SPDX-License-Identifier: Apache-2.0
// Any bytes as a recipe or configuration file: refused with a line, or options by name.
#include <CLI/CLI.hpp>
#include <sstream>

#include "cli/config_file.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream text{std::string(pollard::fuzz::text(data, size))};
  try {
    for (const CLI::ConfigItem& item : pollard::cli::TomlConfig().from_config(text))
      POLLARD_CHECK(item.inputs.size() == 1, "one value an option");
  } catch (const CLI::ConfigError&) {}
  return 0;
}
