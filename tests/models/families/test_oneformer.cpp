// SPDX-License-Identifier: Apache-2.0
// Published OneFormer checkpoints name the backbone's tensors as transformers 4 did.
#include <gtest/gtest.h>

#include <regex>

#include "models/registry.h"

namespace pollard::models {
namespace {

std::string older_name(std::string key) {
  const std::vector<std::pair<std::regex, std::string>> changes{
      {std::regex(R"(\.encoder\.swin\.)"), ".encoder."},
      {std::regex(R"(\.attention\.q_proj\.)"), ".attention.self.query."},
      {std::regex(R"(\.attention\.k_proj\.)"), ".attention.self.key."},
      {std::regex(R"(\.attention\.v_proj\.)"), ".attention.self.value."},
      {std::regex(R"(\.attention\.o_proj\.)"), ".attention.output.dense."},
      {std::regex(R"(\.attention\.relative_position_bias\.)"), ".attention.self."},
      {std::regex(R"((blocks\.\d+)\.mlp\.fc1\.)"), "$1.intermediate.dense."},
      {std::regex(R"((blocks\.\d+)\.mlp\.fc2\.)"), "$1.output.dense."}};
  if (key.starts_with("model.pixel_level_module.encoder."))
    for (const auto& [now, old] : changes) key = std::regex_replace(key, now, old);
  return key;
}

TEST(Oneformer, ReadsTheNamesOfOlderCheckpoints) {
  const Family& family = *find_family("oneformer");
  for (const bool texts : {false, true}) {
    const auto network = family.build(texts ? R"({"is_training":true})" : "{}");
    Shapes::Map map{{"criterion.logit_scale", {}}, {"criterion.empty_weight", {151}}};
    for (const auto& entry : network->entries())
      if (entry.is_parameter() && entry.key.find("swin.layernorm") == std::string::npos)
        map.emplace(older_name(entry.key), entry.tensor().sizes().vec());
    map.emplace(
        "model.pixel_level_module.encoder.encoder.layers.0.blocks.0.attention.self.relative_position_index",
        std::vector<std::int64_t>{49, 49});
    const Match best = recognise(Shapes(map), "").front();
    EXPECT_EQ(best.family, &family);
    EXPECT_TRUE(best.complete());
    EXPECT_EQ(best.score(), 1);
    EXPECT_EQ(
        best.spec_json,
        family.complete(texts ? R"({"is_training":true,"backbone_layernorm":false,"drop_path_rate":0.3})"
                              : R"({"backbone_layernorm":false})"));
  }
}

}  // namespace
}  // namespace pollard::models
