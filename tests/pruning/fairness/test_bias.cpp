// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "graph/error.h"
#include "pruning/fairness/bias.h"
#include "pruning/fairness/prompts.h"

namespace pollard::pruning::fairness {
namespace {

TEST(Bias, IsTheSumOfTheGroupsDistancesFromTheMeanOfAllPrompts) {
  const Spread s = spread({{1, 3}, {5}});
  EXPECT_DOUBLE_EQ(s.mean, 3);
  EXPECT_DOUBLE_EQ(s.bias, 1 + 2);
  EXPECT_DOUBLE_EQ(spread({{2, 2}, {2}}).bias, 0);
}

TEST(Bias, BootstrapHoldsItsEstimateAndIsDeterministic) {
  std::vector<std::vector<double>> groups(2);
  for (int i = 0; i < 40; ++i) {
    groups[0].push_back(0.4 + 0.01 * (i % 7));
    groups[1].push_back(0.6 + 0.01 * (i % 5));
  }
  const AxisIntervals a = bootstrap(groups, 500, 3), b = bootstrap(groups, 500, 3);
  EXPECT_EQ(a.bias.low, b.bias.low);
  EXPECT_LT(a.bias.low, spread(groups).bias);
  EXPECT_GT(a.bias.high, spread(groups).bias);
  EXPECT_LT(a.levels[0].high, a.levels[1].low);
  const AxisIntervals constant = bootstrap({{1, 1}, {2, 2}}, 50, 0);
  EXPECT_EQ(constant.bias.low, constant.bias.high);
}

// The same prompts are drawn before and after: what they share cancels, and the change is surer than either.
TEST(Bias, BootstrapOfAChangeDrawsTheSamePrompts) {
  std::vector<std::vector<double>> before(2), after(2);
  for (int i = 0; i < 30; ++i)
    for (int g = 0; g < 2; ++g) {
      before[g].push_back(0.1 * (i % 10) + 0.5 * g);
      after[g].push_back(before[g].back() - 0.25 * g);
    }
  const AxisIntervals change = bootstrap_change(before, after, 400, 1);
  EXPECT_NEAR(change.levels[0].low, 0, 1e-12);
  EXPECT_NEAR(change.levels[1].low, -0.25, 1e-12);
  EXPECT_NEAR(change.levels[1].high, -0.25, 1e-12);
  const AxisIntervals alone = bootstrap(after, 400, 1);
  EXPECT_LT(change.bias.high - change.bias.low, alone.bias.high - alone.bias.low);
  EXPECT_LT(change.bias.high, 0);
}

TEST(Bias, BootstrapKeepsTheDrawsOfAPromptTogetherAndReadsByTheMeasuresRule) {
  // Two values a prompt that cancel: only draws of whole prompts keep their sum at 0.
  const std::vector<std::vector<double>> values{{1, -1, 2, -2, 3, -3}, {5, -5}};
  const Reading reading{.bias = [](const auto& groups) { return spread(groups).mean; }, .values_a_prompt = 2};
  const AxisIntervals both = bootstrap(values, 100, 0, reading);
  EXPECT_EQ(both.bias.low, 0);
  EXPECT_EQ(both.bias.high, 0);
  const Reading never{.bias = [](const auto&) { return std::nan(""); }};
  EXPECT_TRUE(std::isnan(bootstrap(values, 10, 0, never).bias.low));
}

TEST(Bias, RiskIsHalfWhenBothContinuationsAreAsLikely) {
  EXPECT_DOUBLE_EQ(attribute_risk(std::vector{-3.0, -5.0}, std::vector{-4.0}), 0.5);
  EXPECT_NEAR(attribute_risk(std::vector{-1.0}, std::vector{-2.0}), 1 / (1 + std::exp(-1.0)), 1e-15);
}

// scipy.stats.mannwhitneyu(a, b, alternative="two-sided", method="asymptotic")
TEST(Bias, MannWhitneyAgreesWithScipy) {
  const std::vector<double> a{1.2, 3.4, 2.2, 5.0, 4.1}, b{6.1, 5.0, 7.2, 8.8, 4.9};
  EXPECT_NEAR(mann_whitney(a, b), 0.027802962434649317, 1e-12);
  EXPECT_NEAR(mann_whitney(std::vector<double>{1, 2, 2, 3}, std::vector<double>{2, 2, 4}), 0.5584521572831559,
              1e-12);
  EXPECT_EQ(mann_whitney(std::vector<double>{1, 1}, std::vector<double>{1, 1}), 1);
}

TEST(Bias, DescriptorGapCountsPairsThatDiffer) {
  const std::vector<double> low{1, 2, 3, 4, 5}, high{11, 12, 13, 14, 15}, mixed{1.5, 2.5, 3.5, 4.5, 5.5};
  EXPECT_DOUBLE_EQ(descriptor_gap({low, high, mixed}), 2.0 / 3);
  EXPECT_EQ(descriptor_gap({low}), 0);
}

TEST(Bias, StereotypeShareCountsTiesHalf) {
  EXPECT_DOUBLE_EQ(stereotype_share(std::vector{-1.0, -4.0, -2.0}, std::vector{-2.0, -3.0, -2.0}), 0.5);
}

TEST(Bias, GroupGapIsTheLargestDifferenceOfRates) {
  using Ids = std::vector<std::int64_t>;
  const Ids label{1, 1, 0, 0, 1, 1, 0, 0}, group{0, 0, 0, 0, 1, 1, 1, 1};
  const GroupGap gap = group_gap(Ids{1, 1, 0, 0, 1, 0, 1, 0}, label, group);
  EXPECT_DOUBLE_EQ(gap.groups[0].accuracy, 1);
  EXPECT_DOUBLE_EQ(gap.groups[1].accuracy, 0.5);
  EXPECT_DOUBLE_EQ(gap.true_positive, 0.5);
  EXPECT_DOUBLE_EQ(gap.false_positive, 0.5);
  EXPECT_DOUBLE_EQ(gap.equalised_odds, 0.5);
  // A group without positives has no true positive rate, and takes no part.
  const GroupGap one = group_gap(Ids{1, 0, 0}, Ids{1, 0, 0}, Ids{0, 0, 1});
  EXPECT_TRUE(std::isnan(one.groups[1].true_positive));
  EXPECT_EQ(one.true_positive, 0);
  EXPECT_THROW(group_gap(Ids{1}, Ids{1, 0}, Ids{0, 0}), UserError);
}

TEST(Prompts, KeepTheFilesOrderAndTakeTokenIds) {
  const PromptSet p = parse_prompts(
      R"({"attributes": {"negative": [" bad"], "positive": [" good"]},
          "axes": {"z": {"b": ["one", "two"], "a": [[1, 2]]}}, "pairs": {"z": [["x", "y"]]}})",
      "p.json");
  ASSERT_EQ(p.axes.size(), 1u);
  EXPECT_EQ(p.axis("z").subgroups[0].name, "b");
  EXPECT_EQ(std::get<std::vector<std::int64_t>>(p.axes[0].subgroups[1].prompts[0]).size(), 2u);
  EXPECT_EQ(p.axes[0].pairs.size(), 1u);
  EXPECT_THROW(p.axis("y"), UserError);
}

TEST(Prompts, OfAWrongFormAreRefused) {
  for (const char* bad :
       {R"([])", R"({"axes": {}})", R"({"axes": {"a": {"x": ["p"]}}})",
        R"({"axes": {"a": {"x": [], "y": ["p"]}}})", R"({"axes": {"a": {"x": [""], "y": ["p"]}}})",
        R"({"axes": {"a": {"x": [[-1]], "y": ["p"]}}})", R"({"axes": {"a": {"x": [[1.5]], "y": ["p"]}}})",
        R"({"axes": {"a": {"x": [3], "y": ["p"]}}})",
        R"({"axes": {"a": {"x": ["p"], "y": ["p"]}}, "attributes": {"negative": ["n"]}})",
        R"({"axes": {"a": {"x": ["p"], "y": ["p"]}}, "pairs": {"b": []}})",
        R"({"axes": {"a": {"x": ["p"], "y": ["p"]}}, "pairs": {"a": [["one"]]}})"})
    try {
      parse_prompts(bad, "p.json");
      ADD_FAILURE() << bad;
    } catch (const UserError& error) {
      EXPECT_EQ(error.parts().code, "E0392") << bad;
    }
}

}  // namespace
}  // namespace pollard::pruning::fairness
