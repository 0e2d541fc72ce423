// SPDX-License-Identifier: Apache-2.0
#include "models/merge_tokens.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "graph/cost.h"
#include "graph/error.h"
#include "models/golden_fill.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

constexpr const char* kTiny =
    R"({"img_size":32,"patch_size":4,"embed_dim":64,"depth":3,"num_heads":1,"num_classes":10})";

/// Content everywhere, so that similar tokens differ and merging changes the outputs.
Model filled(const std::string& family, const std::string& spec) {
  Model model = fresh_model(*find_family(family), spec, 0);
  for (auto& [name, tensor] : model.weights)
    if (tensor.is_floating_point()) tensor = golden_parameter(name, tensor.sizes());
  return model;
}

/// What a file of the exported program alone would give.
Model exported(Model model) {
  model.family.clear(), model.spec_json.clear();
  return model;
}

std::int64_t macs(const Model& model) {
  const graph::Dependencies dependencies = graph::analyse(model.program);
  return graph::CostModel(model.program, dependencies).macs(graph::full_widths(dependencies));
}

std::string refusal(const Model& model, const MergeOptions& options) {
  try {
    merge_tokens(model, options);
  } catch (const UserError& error) {
    return error.parts().code;
  }
  return "accepted";
}

TEST(MergeTokens, SameWeightsFewerOperationsAndTheNetworkOfTheSchedule) {
  const Model model = filled("vit", kTiny);
  const MergedTokens merged = merge_tokens(model, {.r = 8});
  EXPECT_EQ(merged.schedule, (std::vector<std::int64_t>{8, 8, 8}));
  ASSERT_EQ(merged.model.weights.size(), model.weights.size());
  for (const auto& [name, tensor] : model.weights) EXPECT_TRUE(tensor.is_same(merged.model.weights.at(name)));
  EXPECT_LT(macs(merged.model), macs(model));
  EXPECT_GT(merged.output_change, 0);

  std::string spec(kTiny);
  spec.insert(spec.size() - 1, R"(,"r":[8,8,8])");
  const Model expected = filled("vit", spec);
  EXPECT_EQ(macs(merged.model), macs(expected));
  const auto run = [](const Model& m) {
    return kernels::Executor(m.program).run(m.weights, m.sample_inputs)[0];
  };
  EXPECT_TRUE(at::equal(run(merged.model), run(expected)));
}

TEST(MergeTokens, ChangesNothingWhenNoTokenMerges) {
  EXPECT_EQ(merge_tokens(filled("vit", kTiny), {.r = 0}).output_change, 0);
}

TEST(MergeTokens, SchedulesRiseAndFall) {
  const Model model = filled("vit", kTiny);
  EXPECT_EQ(merge_tokens(model, {.r = 6, .inflect = -1}).schedule, (std::vector<std::int64_t>{12, 6, 0}));
  EXPECT_EQ(merge_tokens(model, {.r = 6, .inflect = 1}).schedule, (std::vector<std::int64_t>{0, 6, 12}));
}

TEST(MergeTokens, RebuildsExportedProgramsOfEveryFamilyThatMerges) {
  EXPECT_EQ(token_merging_families(), (std::vector<std::string>{"vit", "torchvision_vit"}));
  EXPECT_GT(merge_tokens(exported(filled("vit", kTiny)), {.r = 8}).output_change, 0);
  const Model other = filled(
      "torchvision_vit",
      R"({"image_size":32,"patch_size":4,"num_layers":2,"num_heads":1,"hidden_dim":64,"mlp_dim":96,"num_classes":5})");
  EXPECT_LT(macs(merge_tokens(exported(other), {.r = 8}).model), macs(other));
}

TEST(MergeTokens, TakesNoOtherNetworkForTheFiles) {
  std::string spec(kTiny);
  spec.replace(spec.find("\"num_heads\":1"), 13, "\"num_heads\":4");
  const Model model = exported(filled("vit", spec));
  EXPECT_EQ(refusal(model, {.r = 8}), "E0442");  // shapes alone say one head
  EXPECT_EQ(refusal(model, {.r = 8, .spec_json = R"({"num_heads":4})"}), "accepted");
}

TEST(MergeTokens, RefusesWhatHasNoTokensToMerge) {
  EXPECT_EQ(refusal(filled("resnet", find_family("resnet")->small_specs[0]), {}), "E0442");
  const std::string registers = find_family("vit")->small_specs[3];
  EXPECT_EQ(refusal(filled("vit", registers), {}), "E0414");
}

}  // namespace
}  // namespace pollard::models
