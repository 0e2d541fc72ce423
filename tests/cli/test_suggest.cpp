// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "cli/ui/suggest.h"

namespace pollard::cli {
namespace {

const std::vector<std::string> commands{"inspect", "explain", "plan", "prune", "export", "bench"};

TEST(Suggest, DistanceCountsASwapAsOne) {
  EXPECT_EQ(edit_distance("purne", "prune"), 1);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("same", "same"), 0);
}

TEST(Suggest, FindsTheMeantName) {
  EXPECT_EQ(closest("purne", commands), "prune");
  EXPECT_EQ(closest("inspetc", commands), "inspect");
  EXPECT_EQ(closest("exp", commands), "explain") << "a beginning counts";
}

TEST(Suggest, StaysSilentWhenNothingIsNear) {
  EXPECT_EQ(closest("quantize", commands), std::nullopt);
  EXPECT_EQ(closest("", commands), std::nullopt);
  EXPECT_EQ(closest(std::string(1000, 'x'), commands), std::nullopt);
}

}  // namespace
}  // namespace pollard::cli
