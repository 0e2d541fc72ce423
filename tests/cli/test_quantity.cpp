// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "cli/ui/quantity.h"
#include "graph/error.h"

namespace pollard::cli {
namespace {

TEST(Quantity, ReadsWhatPeopleType) {
  EXPECT_EQ(parse_count("1.2M", "--params"), 1200000);
  EXPECT_EQ(parse_count("855,770", "--params"), 855770);
  EXPECT_EQ(parse_count("64k", "--params"), 64000);
  EXPECT_DOUBLE_EQ(parse_factor("2x", "--speedup"), 2);
  EXPECT_DOUBLE_EQ(parse_factor("1.5", "--speedup"), 1.5);
  EXPECT_DOUBLE_EQ(parse_fraction("50%", "--ratio"), 0.5);
  EXPECT_DOUBLE_EQ(parse_fraction(".5", "--ratio"), 0.5);
  EXPECT_DOUBLE_EQ(parse_seconds("3ms", "--latency"), 3e-3);
  EXPECT_DOUBLE_EQ(parse_seconds("1.5 s", "--latency"), 1.5);
  EXPECT_DOUBLE_EQ(parse_seconds("5m", "--checkpoint-every"), 300);
}

TEST(Quantity, ReadsLists) {
  EXPECT_EQ(parse_shape("1x3x224x224", "--input"), (std::vector<std::int64_t>{1, 3, 224, 224}));
  EXPECT_EQ(parse_counts("1,8,64", "--batch"), (std::vector<std::int64_t>{1, 8, 64}));
  EXPECT_EQ(parse_numbers("50,99.9", "--percentiles"), (std::vector<double>{50, 99.9}));
}

TEST(Quantity, RangesIncludeTheirEnd) {
  const auto values = parse_range("0.1:0.8:0.1", "--sweep");
  ASSERT_EQ(values.size(), 8U);
  EXPECT_DOUBLE_EQ(values.back(), 0.8);
}

template <class Parse>
void expect_refused(Parse parse, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    try {
      parse(text, "--option");
      ADD_FAILURE() << "accepted " << text;
    } catch (const UserError& error) {
      EXPECT_EQ(error.exit(), Exit::Usage) << text;
      EXPECT_EQ(error.parts().code, "E0203");
      EXPECT_EQ(error.parts().subject, "--option");
      EXPECT_NE(error.parts().message.find("for example"), std::string::npos);
    }
  }
}

TEST(Quantity, RefusesTheRestWithAnExample) {
  expect_refused(parse_count, {"", "abc", "-5", "1.5", "1e30", "nan", "12 apples", "0x10"});
  expect_refused(parse_factor, {"0.5x", "1", "x2", "inf", ""});
  expect_refused(parse_fraction, {"1.5", "-0.1", "150%", "half"});
  expect_refused(parse_seconds, {"0ms", "-1s", "3", "3 parsecs"});
  expect_refused(parse_shape, {"", "1x", "x3", "1x0x3", "1*3"});
  expect_refused(parse_counts, {"", "1,,2", "0", "1;2"});
  expect_refused(parse_range, {"0.1:0.8", "0.8:0.1:0.1", "0:1:0", "0:1:1e-9"});
}

}  // namespace
}  // namespace pollard::cli
