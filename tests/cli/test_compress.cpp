// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>

#include "models/model.h"
#include "tests/cli/support/cases.h"

namespace pollard::cli {
namespace {

using test::case_path;

TEST(Compress, WritesASmallerProgramAndSaysWhatItCost) {
  const test::ScopedFolder folder;
  const std::string out = folder / "monarch.pt2";
  const auto report =
      test::run_json({"compress", case_path("transenc"), out, "--monarch", "--blocks", "2", "--repeat", "2"});
  EXPECT_EQ(report["schema"], "pollard.compress/1");
  ASSERT_FALSE(report["layers"].empty());
  for (const auto& layer : report["layers"]) {
    EXPECT_LE(layer["stored_after"].get<double>(), 0.5 * layer["stored_before"].get<double>());
    EXPECT_GT(layer["weight_error"].get<double>(), 0);
    EXPECT_GT(layer["output_error"].get<double>(), 0);
  }
  EXPECT_LT(report["parameters"]["after"], report["parameters"]["before"]);
  EXPECT_LT(report["macs"]["after"], report["macs"]["before"]);
  EXPECT_GT(report["latency_seconds"]["after"].get<double>(), 0);
  const models::Model written = models::load(out);
  EXPECT_TRUE(written.weights.contains(report["layers"][0]["weight"].get<std::string>() + ".monarch_first"));
}

TEST(Compress, RefusesWhatItCannotDoBeforeItWritesAnything) {
  const test::ScopedFolder folder;
  const std::string in = case_path("transenc");
  const auto refuses = [&](std::vector<std::string> line, const std::string& code) {
    const auto result = test::run_cli(line);
    return result.err.find(code) != std::string::npos && result.exit != 0;
  };
  EXPECT_TRUE(refuses({"compress", in, folder / "out.pt2"}, "E02"));
  EXPECT_TRUE(refuses({"compress", in, folder / "out.safetensors", "--monarch"}, "E0226"));
  EXPECT_TRUE(refuses({"compress", in, folder / "out.pt2", "--monarch", "--blocks", "1023"}, "E0441"));
  EXPECT_TRUE(refuses({"compress", in, folder / "out.pt2", "--monarch", "--keep", "2"}, "E0203"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out.pt2"));
  EXPECT_EQ(test::run_cli({"compress", in, folder / "out.pt2", "--monarch", "--dry-run"}).exit, 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "out.pt2"));
}

}  // namespace
}  // namespace pollard::cli
