// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "models/registry.h"

namespace pollard::models {
namespace {

/// Numbers of the networks that replace one layer, at the paper's width: 50 words of 128.
std::int64_t replacing_parameters(const std::string& kind, const std::string& size) {
  const auto network = find_family("rethinking_attention")
                           ->build(R"({"kind":")" + kind + R"(","size":")" + size + R"(","layers":[0]})");
  std::int64_t count = 0;
  for (const auto& entry : network->entries())
    if (entry.key.find(".layers.") != std::string::npos) count += entry.tensor().numel();
  return count;
}

TEST(RethinkingAttention, ReplacingNetworksHaveThePaperSizes) {
  const std::map<std::string, std::int64_t> sizes{
      {"XS", 339'275}, {"S", 659'350}, {"M", 10'261'600}, {"L", 40'988'800}, {"XL", 163'897'600}};
  for (const auto& [size, parameters] : sizes)
    for (const char* kind : {"ALR", "ALRR", "ELR"})
      EXPECT_EQ(replacing_parameters(kind, size), parameters) << kind << size;
}

}  // namespace
}  // namespace pollard::models
