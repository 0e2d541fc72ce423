// SPDX-License-Identifier: Apache-2.0
// Sizes from a file may be anything: no product of them may wrap.
#include <gtest/gtest.h>

#include <limits>

#include "graph/program.h"
#include "graph/saturating.h"

namespace pollard::graph {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max(),
                       kLeast = std::numeric_limits<std::int64_t>::min();

TEST(Saturating, IsOrdinaryArithmeticWhereThatFits) {
  EXPECT_EQ(times(-3, 7), -21);
  EXPECT_EQ(plus(-3, 7), 4);
  EXPECT_EQ(times(kMost, 1), kMost);
  EXPECT_EQ(times(0, kMost), 0);
}

TEST(Saturating, StaysAtTheEndsElsewhere) {
  EXPECT_EQ(times(std::int64_t{1} << 40, std::int64_t{1} << 40), kMost);
  EXPECT_EQ(times(-2, kMost), kLeast);
  EXPECT_EQ(times(-2, kLeast), kMost);
  EXPECT_EQ(plus(kMost, 1), kMost);
  EXPECT_EQ(plus(kLeast, -1), kLeast);
}

TEST(Saturating, CountsElementsOfShapesThatNoMemoryHolds) {
  const Value value{.name = "x", .shape = {{std::int64_t{1} << 40, ""}, {std::int64_t{1} << 40, ""}}};
  EXPECT_EQ(value.numel(), kMost);
}

}  // namespace
}  // namespace pollard::graph
