// SPDX-License-Identifier: Apache-2.0
// FASP's selection and its baselines against what the authors' program selects on its own measured scores.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "graph/error.h"
#include "pruning/fairness/selection.h"
#include "tests/paths.h"

namespace pollard::pruning::fairness {
namespace {

using nlohmann::json;
using Ids = std::vector<std::int64_t>;

const json& golden() {
  static const json g = json::parse(std::ifstream(test::data_folder() + "/golden/fasp_selection.json"));
  return g;
}

Ids select(const json& c) {
  const json& scores = golden().at("scores").at(c.at("model").get<std::string>());
  const auto list = [&](const std::string& name) { return scores.at(name).get<std::vector<double>>(); };
  const std::string method = c.at("method"), bias = "cont_to_" + c.at("group").get<std::string>() + "_bias";
  const double alpha = c.at("alpha");
  if (method == "FASP") return select_fasp(list("cont_to_ppl"), list(bias), alpha, c.at("gamma"));
  if (method == "bias_only") return select_smallest(list(bias), alpha);
  if (method == "ppl_only") return select_smallest(list("cont_to_ppl"), alpha);
  return select_smallest(list(method), alpha);
}

TEST(HeadSelection, IsThePublishedOneInEveryGoldenCase) {
  ASSERT_EQ(golden().at("cases").size(), 123u);
  for (const json& c : golden().at("cases"))
    EXPECT_EQ(select(c), c.at("pruned").get<Ids>()) << c.dump().substr(0, 120);
}

TEST(HeadSelection, KeepsTheHeadsThatMatterMostWhateverTheirBias) {
  const std::vector<double> performance{9, 1, 2, 8}, bias{0, 3, 2, 0};
  EXPECT_EQ(select_fasp(performance, bias, 0.25, 0.5), (Ids{2}));
  EXPECT_EQ(select_smallest(bias, 0.25), (Ids{0, 3}));  // a tie at the threshold goes whole
}

// Head 0 is kept for its performance. Of the others 1 and 2 are beaten by nobody, 4 only by them, 3 by 4 as well.
TEST(HeadSelection, TakesSeveralAxesByWhatNothingBeats) {
  const std::vector<double> performance{9, 1, 1, 1, 1};
  const std::vector<std::vector<double>> biases{{0, 1, 3, 9, 4}, {0, 3, 1, 9, 4}};
  EXPECT_EQ(select_pareto(performance, biases, 0.4, 0.2), (Ids{1, 2}));
  EXPECT_EQ(select_pareto(performance, biases, 0.6, 0.2), (Ids{1, 2, 4}));
  EXPECT_EQ(select_pareto(performance, biases, 0.2, 0.2), (Ids{1}));  // as low on average: the lower number
  EXPECT_EQ(select_pareto(performance, biases, 0, 0.2), (Ids{}));
  // Weighing the axes by their sum takes the one that is middling in both.
  const std::vector<std::vector<double>> middling{{0, 5, 1, 2.9}, {0, 1, 5, 2.9}};
  const std::vector<double> flat{9, 1, 1, 1}, sum{0, 6, 6, 5.8};
  EXPECT_EQ(select_fasp(flat, sum, 0.25, 0.25), (Ids{3}));
  EXPECT_EQ(select_pareto(flat, middling, 0.5, 0.25).size(), 2u);
  EXPECT_THROW(select_pareto(performance, {}, 0.4, 0.2), UserError);
  EXPECT_THROW(select_pareto(performance, biases, 1, 0.4), UserError);
}

TEST(HeadSelection, ByOneAxisIsFasp) {
  const json& scores = golden().at("scores").at("gpt2");
  const auto performance = scores.at("cont_to_ppl").get<std::vector<double>>();
  const std::vector<std::vector<double>> bias{
      scores.at("cont_to_gender_and_sex_bias").get<std::vector<double>>()};
  for (const double alpha : {0.02, 0.1, 0.2})
    EXPECT_EQ(select_pareto(performance, bias, alpha, 0.3), select_fasp(performance, bias[0], alpha, 0.3));
}

TEST(HeadSelection, TruncatesTheProductOfDoubles) {
  const std::vector<double> rising = [] {
    std::vector<double> v(50);
    std::iota(v.begin(), v.end(), 0.0);
    return v;
  }();
  EXPECT_EQ(select_smallest(rising, 0.58).size(), 28u);  // 50 * 0.58 = 28.999...96
  EXPECT_EQ(select_smallest(rising, 0.019).size(), 0u);
}

TEST(HeadSelection, SaysWhenGammaLeavesTooFewHeads) {
  const std::vector<double> scores{1, 2, 3, 4};
  try {
    select_fasp(scores, scores, 0.75, 0.5);
    FAIL() << "3 of 2 heads were selected";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0430");
  }
}

TEST(HeadSelection, RefusesWhatCannotBeRanked) {
  const std::vector<double> good{1, 2}, bad{1, std::nan("")};
  EXPECT_THROW(select_fasp(good, bad, 0.5, 0), UserError);
  EXPECT_THROW(select_fasp(good, std::vector<double>{1}, 0.5, 0), UserError);
  EXPECT_THROW(select_fasp(good, good, 1.5, 0), UserError);
  EXPECT_THROW(select_fasp(good, good, 0.5, 1), UserError);
  EXPECT_THROW(select_smallest(bad, 0.5), UserError);
}

TEST(HeadSelection, DrawsAtRandomWithoutReplacementFromItsSeed) {
  const Ids drawn = select_random(144, 0.2, 7);
  EXPECT_EQ(std::set<std::int64_t>(drawn.begin(), drawn.end()).size(), 28u);
  EXPECT_EQ(drawn, select_random(144, 0.2, 7));
  EXPECT_NE(drawn, select_random(144, 0.2, 8));
}

TEST(HeadSelection, NamesItsMethods) {
  for (const Method method :
       {Method::Fasp, Method::Performance, Method::Bias, Method::Magnitude, Method::Gradient, Method::Random})
    EXPECT_EQ(method_from_string(to_string(method)), method);
  EXPECT_EQ(method_from_string("fair"), std::nullopt);
}

}  // namespace
}  // namespace pollard::pruning::fairness
