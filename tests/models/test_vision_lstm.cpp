// SPDX-License-Identifier: Apache-2.0
// Checkpoints as their authors publish them: the training code's names, and images of another size.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "graph/cost.h"
#include "graph/dependencies.h"
#include "models/capture.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

void replace(std::string& text, std::string_view old, std::string_view now) {
  if (const auto at = text.find(old); at != std::string::npos) text.replace(at, old.size(), now);
}

/// The package's name of a tensor as the training code of version 1 spells it.
std::string published_v1(std::string key) {
  if (key.starts_with("head.")) return "head.1." + key.substr(5);
  if (key.starts_with("norm.")) return "head.0." + key.substr(5);
  if (key.starts_with("legacy_norm.")) return "xlstm.post_blocks_norm." + key.substr(12);
  replace(key, ".norm.", ".xlstm_norm.");
  replace(key, ".layer.", ".xlstm.");
  return key.starts_with("blocks.") ? "xlstm." + key : key;
}

/// Version 2 adds that blocks are counted singly and the convolution is called conv1d whatever it is.
std::string published_v2(std::string key) {
  if (key.starts_with("head.")) return "head.1." + key.substr(5);
  if (key.starts_with("legacy_norm.")) return "head.0." + key.substr(12);
  if (key.starts_with("norm.")) return "xlstm.post_blocks_norm." + key.substr(5);
  replace(key, ".norm.", ".xlstm_norm.");
  replace(key, ".layer.conv.", ".layer.conv1d.");
  replace(key, ".layer.", ".xlstm.");
  if (!key.starts_with("blocks.")) return key;
  const std::size_t end = key.find('.', 7);
  const int pair = std::stoi(key.substr(7, end - 7));
  const bool back = key.find("rowwise_from_bot_right") != std::string::npos;
  replace(key, back ? ".rowwise_from_bot_right" : ".rowwise_from_top_left", "");
  return "xlstm.blocks." + std::to_string(2 * pair + (back ? 1 : 0)) + key.substr(end);
}

Shapes published(Network& network, std::string (*name)(std::string)) {
  Shapes::Map map;
  for (const auto& entry : network.entries()) map.emplace(name(entry.key), entry.tensor().sizes().vec());
  return Shapes(std::move(map));
}

TEST(VisionLstm, PublishedCheckpointsAreRecognised) {
  for (const auto& [name, rename] :
       {std::pair("vision_lstm", &published_v1), std::pair("vision_lstm2", &published_v2)}) {
    const Family& family = *find_family(name);
    const auto network = family.build(family.published.front().spec_json);
    const Shapes shapes = published(*network, rename);
    EXPECT_EQ(shapes.map().size(), network->entries().size()) << name;
    const Match best = recognise(shapes).front();
    EXPECT_EQ(best.family, &family) << name;
    EXPECT_EQ(best.score(), 1) << name;
    EXPECT_TRUE(best.complete()) << name;
  }
}

TEST(VisionLstm, LargerImagesReadTheCheckpointsPositionTable) {
  const Family& family = *find_family("vision_lstm");
  const auto small = family.build(R"({"dim":16,"depth":1,"input_shape":[3,32,32],"patch_size":8})");
  Shapes::Map map;
  for (const auto& entry : small->entries()) map.emplace(entry.key, entry.tensor().sizes().vec());
  const Match match = match_as(family, Shapes(std::move(map)), R"({"input_shape":[3,48,40]})");
  EXPECT_TRUE(match.complete());
  EXPECT_EQ(match.score(), 1);
  const auto larger = family.build(match.spec_json);
  EXPECT_EQ(larger->examples().front().shape.at(2).size, 48);
  EXPECT_EQ(larger->examples().front().shape.at(3).size, 40);
}

std::int64_t macs(const Family& family, const std::string& spec) {
  const auto network = family.build(spec);
  const graph::Program program = trace_shapes(*network, {at::zeros({1, 3, 224, 224})});
  const graph::Dependencies dependencies = graph::analyse(program);
  return graph::CostModel(program, dependencies).macs(graph::full_widths(dependencies));
}

TEST(VisionLstm, LongSequencesOfNarrowHeadsRunInChunks) {
  const Family& family = *find_family("vision_lstm");
  const auto with = [&](const std::string& fields) { return macs(family, R"({"depth":2,)" + fields + "}"); };
  EXPECT_EQ(with(R"("mlstm":"auto")"), with(R"("mlstm":"parallel")"));
  EXPECT_EQ(with(R"("dim":768,"mlstm":"auto")"), with(R"("dim":768,"mlstm":"parallel")"));
  EXPECT_EQ(with(R"("stride":8,"mlstm":"auto")"), with(R"("stride":8,"mlstm":"chunkwise")"));
  EXPECT_LT(with(R"("stride":8,"mlstm":"auto")"), with(R"("stride":8,"mlstm":"parallel")"));
}

}  // namespace
}  // namespace pollard::models
