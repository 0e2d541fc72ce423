// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "tests/cli/support/run_cli.h"
#include "tests/paths.h"

namespace pollard::cli::test {

/// An exported network of tests/cases, by name.
inline std::string case_path(const std::string& name) {
  return pollard::test::data_folder() + "/cases/" + name + ".pt2";
}

/// The JSON one command prints with --json; fails the test when it does not exit with 0.
nlohmann::json run_json(std::vector<std::string> arguments);

}  // namespace pollard::cli::test
