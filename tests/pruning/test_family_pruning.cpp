// SPDX-License-Identifier: Apache-2.0
// Every built-in family's small specs, with no hint: half of every group, and half of the multiply-accumulates, can
// leave while the pruned program computes what the masked original computes, in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "graph/cost.h"
#include "models/golden_fill.h"
#include "models/registry.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

namespace fs = std::filesystem;

/// Fresh weights hold zeros and ones that hide mistakes; the goldens' rule gives every tensor content.
models::Model filled_model(const models::Family& family, const std::string& spec) {
  models::Model model = models::fresh_model(family, spec, 0);
  for (const graph::Input& input : model.program.inputs) {
    const std::string& name = input.source;
    const bool statistic = name.ends_with("running_mean") || name.ends_with("running_var");
    if (input.kind != graph::Input::Kind::Parameter && !statistic) continue;
    at::Tensor& tensor = model.weights.at(name);
    if (tensor.is_floating_point()) tensor = models::golden_parameter(name, tensor.sizes());
  }
  return model;
}

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const models::Family& family : models::families()) names.push_back(family.name);
  return names;
}

class FamilyPruning : public ::testing::TestWithParam<std::string> {
 protected:
  const models::Family& family = *models::find_family(GetParam());

  void expect_equal(const models::Model& model, const PlanOptions& options, const std::string& what) {
    const graph::Dependencies dependencies = graph::analyse(model.program);
    const Plan plan = make_plan(model, dependencies, options);
    const models::Model pruned = prune(model, dependencies, plan.removal);
    const Verification v = verify(model, pruned, dependencies, plan.removal, {.inputs = 2});
    EXPECT_TRUE(v.ok) << what << " differs by " << v.max_relative;
    EXPECT_EQ(v.change > 0, !plan.empty()) << what;
    const graph::Dependencies again = graph::analyse(pruned.program);
    EXPECT_EQ(graph::CostModel(pruned.program, again).macs(graph::full_widths(again)), plan.after.macs)
        << what;
  }
};

TEST_P(FamilyPruning, HalfOfEveryGroupLeavesAndTheRestComputesTheSame) {
  for (const std::string& spec : family.small_specs) {
    const models::Model model = filled_model(family, spec);
    expect_equal(model, {.ratio = 0.5}, spec);
    expect_equal(model, {.ratio = 0.5, .exact_only = true}, spec + " exact");
  }
}

TEST_P(FamilyPruning, HalfOfTheMacsLeave) {
  for (const std::string& spec : family.small_specs)
    expect_equal(filled_model(family, spec), {.speedup = 2}, spec);
}

INSTANTIATE_TEST_SUITE_P(All, FamilyPruning, ::testing::ValuesIn(family_names()),
                         [](const auto& test) { return test.param; });

std::string read_text(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

/// family_groups/FAMILY.N.txt: what couples in the family's small spec number N. Run with POLLARD_RECORD=1 to write
/// the files that are there anew, and read the difference.
std::vector<std::string> recorded_groups() {
  std::vector<std::string> names;
  for (const auto& file : fs::directory_iterator(test::data_folder() + "/pruning/family_groups"))
    names.push_back(file.path().stem().string());
  std::ranges::sort(names);
  return names;
}

class FamilyGroups : public ::testing::TestWithParam<std::string> {};

TEST_P(FamilyGroups, AreAsRecorded) {
  const std::size_t dot = GetParam().rfind('.');
  const models::Family* family = models::find_family(GetParam().substr(0, dot));
  ASSERT_NE(family, nullptr);
  const models::Model model =
      models::fresh_model(*family, family->small_specs.at(std::stoul(GetParam().substr(dot + 1))), 0);
  const std::string text = graph::to_string(graph::analyse(model.program), model.program);
  const fs::path file = fs::path(test::data_folder() + "/pruning/family_groups") / (GetParam() + ".txt");
  if (std::getenv("POLLARD_RECORD")) std::ofstream(file) << text;
  EXPECT_EQ(text, read_text(file));
}

INSTANTIATE_TEST_SUITE_P(All, FamilyGroups, ::testing::ValuesIn(recorded_groups()), [](const auto& test) {
  std::string name = test.param;
  std::ranges::replace(name, '.', '_');
  return name;
});

}  // namespace
}  // namespace pollard::pruning
