// SPDX-License-Identifier: Apache-2.0
#include "tests/cli/support/cases.h"

#include <gtest/gtest.h>

namespace pollard::cli::test {

nlohmann::json run_json(std::vector<std::string> arguments) {
  arguments.emplace_back("--json");
  const Result result = run_cli(arguments);
  EXPECT_EQ(result.exit, 0) << result.err;
  return nlohmann::json::parse(result.out);
}

}  // namespace pollard::cli::test
