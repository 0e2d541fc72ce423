// SPDX-License-Identifier: Apache-2.0
#include "cli/merge_tokens_run.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "graph/error.h"
#include "models/registry.h"
#include "tests/cli/support/cases.h"

namespace pollard::cli {
namespace {

/// A tiny ViT in a file.
std::string write_vit(const test::ScopedFolder& folder, const char* name) {
  const std::string path = folder / name;
  models::save(
      models::fresh_model(
          *models::find_family("vit"),
          R"({"img_size":32,"patch_size":4,"embed_dim":64,"depth":2,"num_heads":1,"num_classes":10})", 0),
      path);
  return path;
}

TEST(MergeTokensOption, IsReadStrictly) {
  EXPECT_EQ(parse_merge_tokens("r=8").r, 8);
  EXPECT_EQ(parse_merge_tokens("r=13,inflect=-1").inflect, -1);
  for (const char* wrong : {"", "8", "r", "r=", "r=-1", "r=2,k=3", "inflect=1", "r=2,inflect=3"})
    EXPECT_THROW(parse_merge_tokens(wrong), UserError) << wrong;
}

TEST(MergeTokens, IsReportedWithOperationsAndLatencyAndComposesWithPruning) {
  const test::ScopedFolder folder;
  for (const char* name : {"vit.pt2", "vit.safetensors"}) {
    const std::string in = write_vit(folder, name), out = folder / (std::string("merged-") + name);
    const auto report = test::run_json({"compress", in, out, "--merge-tokens", "r=8", "--repeat", "2"});
    EXPECT_EQ(report["schedule"], (std::vector<int>{8, 8}));
    EXPECT_LT(report["macs"]["after"], report["macs"]["before"]);
    EXPECT_GT(report["latency_seconds"]["after"].get<double>(), 0);
    const models::Model merged = models::load(out);
    ASSERT_TRUE(merged.metadata.contains("pollard.compress"));
    EXPECT_NE(merged.metadata.at("pollard.compress").find("\"schedule\":[8,8]"), std::string::npos);
    EXPECT_EQ(test::run_cli({"prune", out, folder / (std::string("small-") + name), "--speedup", "2x"}).exit,
              0);
  }
}

TEST(MergeTokens, WritesNothingWhenRefusedOrDry) {
  const test::ScopedFolder folder;
  const std::string out = folder / "out.pt2", in = write_vit(folder, "vit.pt2");
  EXPECT_NE(test::run_cli({"compress", test::case_path("transenc"), out, "--merge-tokens", "r=8"})
                .err.find("E0442"),
            std::string::npos);
  EXPECT_EQ(test::run_cli({"compress", in, out, "--merge-tokens", "r=8", "--dry-run", "--repeat", "0"}).exit,
            0);
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
}  // namespace pollard::cli
