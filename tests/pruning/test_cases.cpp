// SPDX-License-Identifier: Apache-2.0
// Every exported construct under tests/cases, with no hint: what is coupled (golden text), and that half of every
// prunable group can leave while the pruned program computes what the masked original computes.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "models/model.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"
#include "tests/graph/components.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

namespace fs = std::filesystem;
const fs::path kData = test::data_folder();

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kData / "cases"))
    if (entry.path().extension() == ".pt2") names.push_back(entry.path().stem().string());
  std::ranges::sort(names);
  return names;
}

std::string read_text(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

class Case : public ::testing::TestWithParam<std::string> {
 protected:
  models::Model model = models::load(kData / "cases" / (GetParam() + ".pt2"));
  graph::Dependencies dependencies = graph::analyse(model.program);

  Plan half(bool exact_only = false) const {
    PlanOptions options;
    options.ratio = 0.5;
    options.exact_only = exact_only;
    return make_plan(model, dependencies, options);
  }
};

TEST_P(Case, GroupsAreAsRecorded) {
  EXPECT_EQ(graph::to_string(dependencies, model.program),
            read_text(kData / "groups" / (GetParam() + ".txt")));
}

TEST_P(Case, GroupsAreTheConnectedComponentsOfTheCouplings) {
  graph::testing::expect_groups_are_components(model.program, dependencies);
}

TEST_P(Case, HalfOfEveryGroupLeavesAndTheRestComputesTheSame) {
  for (bool exact_only : {false, true}) {
    const Plan plan = half(exact_only);
    const models::Model pruned = prune(model, dependencies, plan.removal);
    const Verification v = verify(model, pruned, dependencies, plan.removal, {.inputs = 3});
    EXPECT_TRUE(v.ok) << "differs by " << v.max_relative;
    EXPECT_EQ(v.change > 0, !plan.empty());
  }
}

TEST_P(Case, EveryGroupLosesHalfOrSaysWhyNot) {
  const Plan plan = half();
  for (const GroupPlan& group : plan.groups) {
    const graph::Axis& axis =
        dependencies
            .axes[static_cast<std::size_t>(dependencies.groups[static_cast<std::size_t>(group.group)].axis)];
    EXPECT_EQ(static_cast<std::int64_t>(group.removed.size()), axis.size / 2) << group.kept_whole;
  }
  for (const graph::Axis& axis : dependencies.axes)
    if (axis.stored && axis.frozen) EXPECT_FALSE(graph::explain_freeze(axis.frozen, model.program).empty());
}

TEST_P(Case, CostsPredictTheSmallerProgram) {
  const Plan plan = half();
  const models::Model pruned = prune(model, dependencies, plan.removal);
  const graph::Dependencies again = graph::analyse(pruned.program);
  const graph::Cost measured = graph::CostModel(pruned.program, again).evaluate(graph::full_widths(again));
  EXPECT_EQ(measured.parameters, plan.after.parameters);
  EXPECT_EQ(measured.macs, plan.after.macs);
}

TEST_P(Case, AnAxisHasItsShareOfParametersAndMacs) {
  const graph::CostModel cost(model.program, dependencies);
  const std::vector<graph::Cost> shares = cost.shares();
  const graph::Widths full = graph::full_widths(dependencies);
  for (const graph::Group& group : dependencies.groups) {
    graph::Widths without = full;
    without[static_cast<std::size_t>(group.axis)] = 0;
    const graph::Cost& share = shares[static_cast<std::size_t>(group.axis)];
    EXPECT_EQ(share.parameters, cost.parameters(full) - cost.parameters(without)) << group.id;
    EXPECT_EQ(share.macs, cost.macs(full) - cost.macs(without)) << group.id;
  }
}

TEST_P(Case, RemovingNothingIsTheIdentity) {
  const graph::Removal nothing(dependencies);
  EXPECT_EQ(graph::to_string(rewrite(model.program, dependencies, nothing)), graph::to_string(model.program));
}

TEST_P(Case, PlansAreReproducibleAndReadBack) {
  const Plan plan = half();
  const std::string json = to_json(plan, model, dependencies);
  EXPECT_EQ(json, to_json(half(), model, dependencies));
  const Plan again = plan_from_json(json, model, dependencies);
  EXPECT_EQ(again.removal.removed, plan.removal.removed);
}

INSTANTIATE_TEST_SUITE_P(All, Case, ::testing::ValuesIn(case_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace pollard::pruning
