// SPDX-License-Identifier: Apache-2.0
// Which layers make good what the rest of a residual sum has lost.
#include <gtest/gtest.h>

#include <set>

#include "models/init.h"
#include "models/registry.h"
#include "pruning/residuals.h"

namespace pollard::pruning {
namespace {

std::map<std::string, Summand> summands_of(const models::Model& model,
                                           std::map<std::string, std::string>& weights) {
  const Inventory inventory = find_layers(model.program);
  std::map<std::string, Summand> out;
  for (auto& [name, summand] : find_summands(model.program, inventory.layers)) {
    const std::string& weight = inventory.layers.at(name).parameters[0];
    out[weight] = summand;
    weights[weight] = name;
  }
  return out;
}

models::Model fresh(const std::string& family, const std::string& spec) {
  return models::fresh_model(*models::find_family(family), spec, 0);
}

TEST(Residuals, TheLastLayersOfTransformerBranchesHaveOne) {
  std::map<std::string, std::string> layers;
  const auto found = summands_of(
      fresh("vit",
            R"({"img_size":16,"patch_size":8,"embed_dim":16,"depth":2,"num_heads":2,"num_classes":10})"),
      layers);
  std::set<std::string> names;
  for (const auto& [weight, summand] : found) {
    names.insert(weight);
    EXPECT_TRUE(summand.scale.empty()) << weight;
  }
  EXPECT_EQ(names, (std::set<std::string>{"blocks.0.attn.proj.weight", "blocks.0.mlp.fc2.weight",
                                          "blocks.1.attn.proj.weight", "blocks.1.mlp.fc2.weight"}));
}

TEST(Residuals, AConvolutionReachesItsSumThroughOneBatchNorm) {
  std::map<std::string, std::string> layers;
  const models::Model model =
      fresh("cifar_resnet", R"({"depth":8,"num_filters":[8,8,16,16],"image_size":32})");
  const auto found = summands_of(model, layers);
  ASSERT_FALSE(found.empty());
  for (const auto& [weight, summand] : found) {
    const bool convolution = model.weights.at(weight).dim() == 4;
    EXPECT_EQ(convolution, !summand.scale.empty()) << weight;
    if (!convolution) continue;
    EXPECT_EQ(model.weights.at(summand.scale).size(0), model.weights.at(weight).size(0)) << weight;
    EXPECT_EQ(model.weights.at(summand.variance).size(0), model.weights.at(weight).size(0)) << weight;
    EXPECT_GT(summand.eps, 0) << weight;
  }
  // The first convolution of a block feeds no sum, the second does.
  EXPECT_FALSE(found.contains("layer1.0.conv1.weight"));
  EXPECT_TRUE(found.contains("layer1.0.conv2.weight"));
}

}  // namespace
}  // namespace pollard::pruning
