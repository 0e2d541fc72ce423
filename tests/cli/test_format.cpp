// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "cli/ui/format.h"

namespace pollard::cli {
namespace {

TEST(Format, CountsHaveThousandsSeparators) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(855770), "855,770");
  EXPECT_EQ(format_count(-1234567), "-1,234,567");
  EXPECT_EQ(format_count(INT64_MIN), "-9,223,372,036,854,775,808");
}

TEST(Format, ShortNumbersKeepOneDecimalAndNeverReachFourDigits) {
  EXPECT_EQ(format_short(960), "960");
  EXPECT_EQ(format_short(12400), "12.4 k");
  EXPECT_EQ(format_short(126.5e6), "126.5 M");
  EXPECT_EQ(format_short(999960), "1.0 M");
  EXPECT_EQ(format_short(3.1e9), "3.1 G");
}

TEST(Format, BytesAreBinary) {
  EXPECT_EQ(format_bytes(960), "960 B");
  EXPECT_EQ(format_bytes(3.4 * 1024 * 1024), "3.4 MiB");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
}

TEST(Format, SecondsPickTheUnitAndThreeDigits) {
  EXPECT_EQ(format_seconds(0), "0 s");
  EXPECT_EQ(format_seconds(870e-9), "870 ns");
  EXPECT_EQ(format_seconds(4.21e-3), "4.21 ms");
  EXPECT_EQ(format_seconds(42.1e-3), "42.1 ms");
  EXPECT_EQ(format_seconds(12.5), "12.5 s");
  EXPECT_EQ(format_seconds(125), "2 min 05 s");
  EXPECT_EQ(format_seconds(3720), "1 h 02 min");
}

TEST(Format, ChangeIsSignedAndNeverDividesByZero) {
  EXPECT_EQ(format_change(855770, 401233), "-53.1 %");
  EXPECT_EQ(format_change(100, 120), "+20.0 %");
  EXPECT_EQ(format_change(5, 5), "0.0 %");
  EXPECT_EQ(format_change(0, 5), "-");
}

TEST(Format, FactorsSayTheDirection) {
  EXPECT_EQ(format_fewer(126.5, 62.9), "2.01x fewer");
  EXPECT_EQ(format_fewer(10, 12), "1.20x more");
  EXPECT_EQ(format_fewer(7, 7), "unchanged");
}

TEST(Format, SpreadSharesUnitAndDecimalsWithItsValue) {
  EXPECT_EQ(format_seconds_spread(4.21e-3, 0.05e-3), "4.21 ms +-0.05");
  EXPECT_EQ(format_seconds_spread(421e-3, 0.5e-3), "421.0 ms +-0.5");
  EXPECT_EQ(format_spread(238, 3), "238 +-3");
  EXPECT_EQ(format_spread(12.34, 0.5), "12.3 +-0.5");
}

TEST(Format, ScientificDropsExponentZeros) {
  EXPECT_EQ(format_scientific(2.1e-6), "2.1e-6");
  EXPECT_EQ(format_scientific(3e-12), "3.0e-12");
  EXPECT_EQ(format_scientific(0), "0");
}

}  // namespace
}  // namespace pollard::cli
