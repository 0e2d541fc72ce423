// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>

#include "graph/error.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

TEST(Families, HavePublishedParameterCounts) {
  for (const Family& family : families())
    for (const Published& size : family.published)
      EXPECT_EQ(family.build(size.spec_json)->parameter_count(), size.parameters) << size.name;
}

TEST(Families, HaveDistinctNamesAndOneLineDescriptions) {
  std::set<std::string> names;
  for (const Family& family : families()) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name;
    EXPECT_EQ(find_family(family.name), &family);
    EXPECT_FALSE(family.description.empty() || family.description.find('\n') != std::string::npos)
        << family.name;
  }
  EXPECT_EQ(find_family("no such family"), nullptr);
}

Shapes shapes_of(Network& network) {
  Shapes::Map map;
  for (const auto& entry : network.entries())
    if (entry.is_parameter() || entry.slot->persistent) map.emplace(entry.key, entry.tensor().sizes().vec());
  return Shapes(std::move(map));
}

TEST(Families, ArePickedByTheirOwnKeys) {
  for (const Family& family : families())
    for (const Published& size : family.published) {
      const auto network = family.build(size.spec_json);
      const Match best = recognise(shapes_of(*network)).front();
      EXPECT_EQ(best.family, &family) << size.name;
      EXPECT_TRUE(best.complete()) << size.name;
      EXPECT_EQ(best.score(), 1) << size.name;
    }
}

TEST(Families, SpecsAreCanonicalAndComplete) {
  for (const Family& family : families()) {
    const std::string canonical = family.complete("{}");
    EXPECT_EQ(family.complete(canonical), canonical) << family.name;
  }
}

TEST(Families, RefuseSpecsOutOfRangeBeforeBuilding) {
  const auto refused = [](const char* family, const char* spec) {
    try {
      find_family(family)->complete(spec);
    } catch (const UserError& error) {
      return error.parts().code == "E0414" && error.exit() == Exit::Unsupported;
    }
    return false;
  };
  EXPECT_TRUE(refused("bert", R"({"num_hidden_layers": 1000000000})"));
  EXPECT_TRUE(refused("bert", R"({"num_attention_heads": 0})"));
  EXPECT_TRUE(refused("bert", R"({"hidden_size": 100, "num_attention_heads": 3})"));
  EXPECT_TRUE(refused("bert", R"({"hidden_size": "wide"})"));
  EXPECT_TRUE(refused("bert", R"({"hidden_act": "nonsense"})"));
  EXPECT_TRUE(refused("bert", "[1, 2"));
  EXPECT_TRUE(refused("resnet", R"({"layers": [3, 4, 6]})"));
  EXPECT_TRUE(refused("resnet", R"({"layers": [3, 4, 6, 18446744073709551615]})"));
  EXPECT_TRUE(refused("cifar_resnet", R"({"depth": 21})"));
}

TEST(Families, InitialiseFreshParameters) {
  for (const Family& family : families()) {
    const auto network = family.build(family.published.front().spec_json);
    network->initialise(at::Generator());
    for (const auto& entry : network->entries()) {
      EXPECT_TRUE(entry.tensor().device().is_cpu()) << entry.key;
      if (!entry.is_parameter() || entry.tensor().dim() == 1) continue;
      EXPECT_GT(entry.tensor().abs().max().item<double>(), 0) << entry.key;
    }
  }
}

}  // namespace
}  // namespace pollard::models
