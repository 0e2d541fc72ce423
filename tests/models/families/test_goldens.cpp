// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "models/parity.h"
#include "tests/paths.h"

namespace pollard::models {
namespace {

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(test::data_folder() + "/golden"))
    if (file.path().extension() == ".json") names.push_back(file.path().stem().string());
  std::ranges::sort(names);
  return names;
}

class Golden : public testing::TestWithParam<std::string> {};

/// Every golden whose architecture is built in; the others must say so and never count as passed.
TEST_P(Golden, NetworkReproducesReference) {
  const auto result =
      check_golden(std::filesystem::path(test::data_folder()) / "golden" / (GetParam() + ".json"));
  if (result.status == ParityResult::Status::NotBuiltIn ||
      result.status == ParityResult::Status::NotAGolden) {
    EXPECT_FALSE(result.problem.empty());
    return;
  }
  EXPECT_EQ(result.problem, "");
  EXPECT_EQ(result.keys_matched, result.keys);
  EXPECT_EQ(result.parameters, result.parameters_expected);
  if (result.macs_expected >= 0) EXPECT_EQ(result.macs, result.macs_expected);
  for (const auto& tap : result.taps)
    EXPECT_TRUE(tap.passed()) << tap.name << ": error " << tap.error << ", tolerance " << tap.tolerance << " "
                              << tap.problem;
  EXPECT_TRUE(result.passed());
  RecordProperty("largest_relative_error", std::to_string(result.largest_relative_error()));
}

INSTANTIATE_TEST_SUITE_P(All, Golden, testing::ValuesIn(golden_names()),
                         [](const auto& golden) { return golden.param; });

}  // namespace
}  // namespace pollard::models
