// SPDX-License-Identifier: Apache-2.0
// Group gaps of classifiers on labelled data.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "graph/error.h"
#include "models/golden_fill.h"
#include "models/io/safetensors.h"
#include "models/registry.h"
#include "pruning/fairness/labelled.h"
#include "pruning/fairness/scoreboard.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"

namespace pollard::pruning::fairness {
namespace {

/// A classifier of token ids [8, 5] into two classes, and what it says of its examples.
class LabelledData : public ::testing::Test {
 protected:
  LabelledData() {
    const at::Tensor out = kernels::Executor(model.program).run(model.weights, {ids}).front();
    const at::Tensor classes = out.argmax(1).contiguous();
    said.assign(classes.data_ptr<std::int64_t>(), classes.data_ptr<std::int64_t>() + 8);
  }
  static std::string input_name(const models::Model& model) {
    return model.program[model.program.user_inputs().front()->value].name;
  }
  std::string file(models::io::TensorMap tensors) const {
    tensors[input_name(model)] = ids;
    const std::string path = testing::TempDir() + "labelled.safetensors";
    models::io::save_safetensors(path, tensors, {}, true);
    return path;
  }
  std::string code_of(const models::io::TensorMap& tensors) const {
    try {
      read_labelled(file(tensors), model.program);
    } catch (const UserError& error) {
      return error.parts().code;
    }
    return "none";
  }

  const models::Model model =
      models::fresh_model(*models::find_family("rnn_classifier"),
                          R"({"vocab":50,"input_size":8,"hidden_size":6,"output_size":2})", 0);
  const at::Tensor ids = models::golden_ids("labelled", {8, 5}, 50);
  const at::Tensor groups = at::tensor({0, 0, 0, 0, 1, 1, 1, 1}, at::kLong);
  std::vector<std::int64_t> said;
};

TEST_F(LabelledData, GivesTheGapsOfItsRates) {
  // Group 0 is always right; group 1 never, so its rates are those of group 0 turned round.
  std::vector<std::int64_t> labels = said;
  for (std::size_t i = 4; i < 8; ++i) labels[i] = 1 - labels[i];
  const Labelled data =
      read_labelled(file({{"labels", at::tensor(labels, at::kLong)}, {"groups", groups}}), model.program);
  EXPECT_EQ(data.labels, labels);
  const auto error = make_error_rate(data);
  const at::Tensor numbers = measure(model, error->probe());
  EXPECT_DOUBLE_EQ(error->judge(numbers, numbers), 0.5);
  const auto bias = [&](Gap gap) { return make_group_gap(data, gap)->judge(numbers).front(); };
  EXPECT_DOUBLE_EQ(bias(Gap::Accuracy).bias, 1);
  const GroupGap expected = group_gap(said, labels, data.groups);
  EXPECT_DOUBLE_EQ(bias(Gap::TruePositive).bias, expected.true_positive);
  EXPECT_DOUBLE_EQ(bias(Gap::FalsePositive).bias, expected.false_positive);
  EXPECT_DOUBLE_EQ(bias(Gap::EqualisedOdds).bias, expected.equalised_odds);
  const AxisBias accuracy = bias(Gap::Accuracy);
  EXPECT_DOUBLE_EQ(level_of(accuracy.reading, accuracy.values[0]), 1);
  EXPECT_DOUBLE_EQ(level_of(accuracy.reading, accuracy.values[1]), 0);
  // The other class as the positive one turns true positives of one into false positives of the other.
  EXPECT_DOUBLE_EQ(make_group_gap(data, Gap::TruePositive, 0)->judge(numbers).front().bias,
                   group_gap(said, labels, data.groups, 0).true_positive);
  const AxisIntervals intervals = bootstrap(accuracy.values, 50, 0, accuracy.reading);
  EXPECT_EQ(intervals.bias.low, 1);  // every draw is right in one group and wrong in the other
}

TEST_F(LabelledData, ScoresLstmUnitsToo) {
  const Labelled data =
      read_labelled(file({{"labels", at::tensor(said, at::kLong)}, {"groups", groups}}), model.program);
  const graph::Dependencies d = graph::analyse(model.program);
  const std::vector<Unit> units = units_matching(model, d, {"*weight_hh*"});
  ASSERT_FALSE(units.empty());
  const auto error = make_error_rate(data);
  const auto gap = make_group_gap(data, Gap::EqualisedOdds);
  const Scoreboard board = score_units(Knockout(model, d, units), d, *error, *gap);
  EXPECT_EQ(board.performance_whole, 0);
  EXPECT_EQ(board.performance.size(), units.size());
  const Choice choice{.alpha = 0.25, .gamma = 0.3};
  EXPECT_FALSE(plan_for(model, d, board, choose(board, choice), choice).empty());
  // One unit of the first group and three of the second are chosen: tied to each other, both lose two or none more.
  std::vector<std::int64_t> uneven;
  std::map<std::int32_t, int> wanted{{units.front().group, 1}, {units.back().group, 3}};
  for (std::int64_t i = 0; i < std::ssize(units); ++i)
    if (wanted[units[static_cast<std::size_t>(i)].group]-- > 0) uneven.push_back(i);
  ASSERT_EQ(uneven.size(), 4u);
  const Plan plan = plan_for(model, d, board, uneven, choice);
  std::map<std::int32_t, std::set<std::size_t>> by_tie;
  for (const GroupPlan& g : plan.groups) {
    const graph::Axis& axis =
        d.axes[static_cast<std::size_t>(d.groups[static_cast<std::size_t>(g.group)].axis)];
    if (axis.tie >= 0) by_tie[axis.tie].insert(g.removed.size());
  }
  ASSERT_FALSE(by_tie.empty());
  for (const auto& [tie, counts] : by_tie) EXPECT_EQ(counts.size(), 1u);
  EXPECT_FALSE(plan.warnings.empty() && !plan.empty());
  const models::Model pruned = prune(model, d, plan.removal);
  EXPECT_TRUE(verify(model, pruned, d, plan.removal, {.inputs = 2}).ok);
}

TEST_F(LabelledData, OfAWrongFormIsRefused) {
  const at::Tensor labels = at::tensor(said, at::kLong);
  EXPECT_EQ(code_of({{"labels", labels}, {"groups", groups}}), "none");
  EXPECT_EQ(code_of({{"groups", groups}}), "E0395");
  EXPECT_EQ(code_of({{"labels", labels}}), "E0395");
  EXPECT_EQ(code_of({{"labels", labels}, {"groups", groups.to(at::kFloat)}}), "E0395");
  EXPECT_EQ(code_of({{"labels", labels}, {"groups", groups * 2}}), "E0395");  // group 1 is empty
  EXPECT_EQ(code_of({{"labels", labels}, {"groups", groups * 0}}), "E0395");  // one group
  EXPECT_EQ(code_of({{"labels", labels}, {"groups", groups - 1}}), "E0395");
  EXPECT_EQ(code_of({{"labels", labels.slice(0, 0, 4)}, {"groups", groups}}), "E0395");
}

TEST(Gaps, NameThemselves) {
  for (const std::string& name : gap_names()) EXPECT_TRUE(gap_from_string(name)) << name;
  EXPECT_FALSE(gap_from_string("gap"));
}

}  // namespace
}  // namespace pollard::pruning::fairness
