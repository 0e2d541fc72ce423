// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/cli/support/cases.h"

namespace pollard::cli {
namespace {

using nlohmann::json;
using test::case_path;
using test::run_cli;
using test::run_json;
using test::ScopedFolder;
using Words = std::vector<std::string>;

Words joined(Words first, const Words& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

TEST(Prune, WithoutATargetFailsWithAHint) {
  const ScopedFolder folder;
  for (const Words& line :
       {Words{"prune", case_path("syn_lstm1"), folder / "out.pt2"}, Words{"plan", "absent.pt2"}}) {
    const auto result = run_cli(line);
    EXPECT_EQ(result.exit, 2);
    EXPECT_TRUE(result.err.starts_with("error[E0207] " + line[0] +
                                       ": needs a target: one of --speedup, --ratio, --params, --macs\n"))
        << result.err;
    EXPECT_NE(result.err.find("--speedup 2x"), std::string::npos);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "out.pt2"));
}

TEST(Prune, TakesOneTarget) {
  const auto result = run_cli({"plan", "m.pt2", "--ratio", "0.5", "--speedup", "2x"});
  EXPECT_EQ(result.exit, 2);
  EXPECT_TRUE(result.err.starts_with("error[E0206]")) << result.err;
}

TEST(Prune, RefusesValuesThatDoNotRead) {
  for (const Words& bad :
       {Words{"--ratio", "1.5"}, Words{"--speedup", "0.5x"}, Words{"--params", "few"},
        Words{"--ratio", "0.5", "--layer", "fc1"}, Words{"--ratio", "0.5", "--scope", "wide"},
        Words{"--ratio", "0.5", "--round-to", "0"}, Words{"--ratio", "0.5", "--max-ratio", "2"}}) {
    const auto result = run_cli(joined({"plan", "m.pt2"}, bad));
    EXPECT_EQ(result.exit, 2) << result.err;
    EXPECT_TRUE(result.err.starts_with("error[E0203]")) << result.err;
  }
}

TEST(Prune, AFolderIsAsLargeAsItsWeights) {
  const ScopedFolder folder;
  test::write_text(folder / "config.json", R"({"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 1,
                                               "num_attention_heads": 4, "intermediate_size": 64})");
  const std::string weights = folder / "model.safetensors";
  ASSERT_EQ(run_cli({"init", "bert", weights, "--spec", folder / "config.json"}).exit, 0);
  const json told = run_json({"prune", folder / "", folder / "out.safetensors", "--ratio", "0.5"});
  EXPECT_EQ(told.at("input_bytes"), std::filesystem::file_size(weights));
  EXPECT_LT(told.at("output_bytes"), told.at("input_bytes"));
}

TEST(Prune, WritesASmallerVerifiedModel) {
  const ScopedFolder folder;
  const auto result = run_cli({"prune", case_path("syn_lstm1"), folder / "out.pt2", "--ratio", "0.5"});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_NE(result.out.find("verify    pruned == masked original"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("   ok\n"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("\nwrote     "), std::string::npos) << result.out;
  EXPECT_NE(result.err.find("next: pollard bench"), std::string::npos) << result.err;
  const json before = run_json({"inspect", case_path("syn_lstm1")}),
             after = run_json({"inspect", folder / "out.pt2"});
  EXPECT_LT(after["parameters"], before["parameters"]);
  EXPECT_TRUE(after["pruned"]);
  EXPECT_EQ(run_cli({"verify", folder / "out.pt2", case_path("syn_lstm1")}).exit, 0);
}

TEST(Prune, ReachesABudgetInSteps) {
  const ScopedFolder folder;
  const double before = run_json({"inspect", case_path("syn_flatten_bn_fc")})["macs"];
  EXPECT_EQ(run_cli({"prune", case_path("syn_flatten_bn_fc"), folder / "out.pt2", "--speedup", "2x",
                     "--steps", "3"})
                .exit,
            0);
  EXPECT_LE(run_json({"inspect", folder / "out.pt2"})["macs"], before / 2);
  EXPECT_EQ(run_cli({"prune", "m.pt2", "o.pt2", "--ratio", "0.5", "--steps", "2"}).exit, 2);
}

TEST(Prune, MeetsAFileSizePlanIncluded) {
  const ScopedFolder folder;
  const auto size = [](const std::string& path) { return std::filesystem::file_size(path); };
  const auto most = size(case_path("bilstm1")) * 3 / 4;
  const auto result =
      run_cli({"prune", case_path("bilstm1"), folder / "out.pt2", "--file-size", std::to_string(most)});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_LE(size(folder / "out.pt2"), most);
}

TEST(Plan, ASweepIsATableAFileAndAPicture) {
  const ScopedFolder folder;
  const auto result = run_cli({"plan", case_path("syn_lstm1"), "--sweep", "0.2:0.6:0.2", "--csv",
                               folder / "curve.csv", "--svg", folder / "curve.svg"});
  EXPECT_EQ(result.exit, 0) << result.err;
  const std::string csv = test::read_text(folder / "curve.csv"), svg = test::read_text(folder / "curve.svg");
  EXPECT_EQ(std::ranges::count(csv, '\n'), 4) << csv;
  EXPECT_TRUE(svg.starts_with("<svg ")) << svg;
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_NE(result.out.find("fewer MACs"), std::string::npos);
  EXPECT_EQ(run_cli({"plan", case_path("syn_lstm1"), "--sensitivity"}).exit, 2) << "needs samples";
}

TEST(Prune, DryRunWritesNothing) {
  const ScopedFolder folder;
  const auto result =
      run_cli({"prune", case_path("syn_lstm1"), folder / "out.pt2", "--ratio", "0.5", "--dry-run"});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_TRUE(result.out.ends_with("dry run: nothing written\n")) << result.out;
  EXPECT_FALSE(std::filesystem::exists(folder / "out.pt2"));
}

TEST(Prune, SameOptionsGiveTheSamePlanAsPlan) {
  const ScopedFolder folder;
  for (const std::string name : {"syn_lstm1", "syn_sdpa", "syn_gn", "syn_flatten_bn_fc"}) {
    for (const Words& options :
         {Words{"--ratio", "0.5"}, Words{"--ratio", "0.5", "--exact"}, Words{"--speedup", "1.3x"},
          Words{"--ratio", "0.25", "--criterion", "random", "--seed", "3"}}) {
      const json plan = run_json(joined({"plan", case_path(name)}, options));
      const json pruned =
          run_json(joined({"prune", case_path(name), folder / "out.pt2", "--force"}, options));
      EXPECT_EQ(plan["schema"], "pollard.plan/1");
      EXPECT_EQ(pruned["plan"], plan) << name << " " << options[0];
      EXPECT_TRUE(pruned["verify"]["ok"]) << name;
    }
  }
}

TEST(Prune, CarriesOutAPlanFile) {
  const ScopedFolder folder;
  EXPECT_EQ(run_cli({"plan", case_path("syn_lstm1"), "--ratio", "0.5", "-o", folder / "plan.json"}).exit, 0);
  EXPECT_EQ(run_cli({"prune", case_path("syn_lstm1"), folder / "a.pt2", "--plan", folder / "plan.json"}).exit,
            0);
  EXPECT_EQ(run_cli({"prune", case_path("syn_lstm1"), folder / "b.pt2", "--ratio", "0.5"}).exit, 0);
  const json a = run_json({"inspect", folder / "a.pt2"}), b = run_json({"inspect", folder / "b.pt2"});
  EXPECT_EQ(a["parameters"], b["parameters"]);
  EXPECT_EQ(run_cli({"plan", case_path("syn_lstm1"), "--ratio", "0.5", "-o", folder / "plan.json"}).exit, 2)
      << "an existing plan is not replaced";
}

TEST(Prune, TheSameRunGivesTheSameBytes) {
  const ScopedFolder folder;
  for (const char* name : {"m.safetensors", "m.pt2"}) {
    std::vector<std::string> bytes;
    for (const char* place : {"first/", "second/"}) {
      std::filesystem::create_directories(folder / place);
      const std::string out = folder / (place + std::string(name));
      EXPECT_EQ(run_cli({"prune", case_path("mha"), out, "--ratio", "0.5"}).exit, 0);
      bytes.push_back(test::read_text(out));
    }
    EXPECT_TRUE(bytes[0] == bytes[1]) << name;
  }
}

TEST(Prune, AnotherModelsPlanIsRefused) {
  const ScopedFolder folder;
  EXPECT_EQ(run_cli({"plan", case_path("syn_gn"), "--ratio", "0.5", "-o", folder / "plan.json"}).exit, 0);
  const auto result =
      run_cli({"prune", case_path("syn_lstm1"), folder / "a.pt2", "--plan", folder / "plan.json"});
  EXPECT_EQ(result.exit, 3);
  EXPECT_TRUE(result.err.starts_with("error[E0380]")) << result.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "a.pt2"));
}

TEST(Prune, NeverTouchesItsInputOrAnExistingFile) {
  const ScopedFolder folder;
  std::filesystem::copy_file(case_path("syn_gn"), folder / "in.pt2");
  test::write_text(folder / "out.pt2", "precious");
  EXPECT_EQ(run_cli({"prune", folder / "in.pt2", folder / "out.pt2", "--ratio", "0.5"}).exit, 2);
  EXPECT_EQ(test::read_text(folder / "out.pt2"), "precious");
  EXPECT_EQ(run_cli({"prune", folder / "in.pt2", folder / "in.pt2", "--ratio", "0.5", "--force"}).exit, 2);
  EXPECT_EQ(run_cli({"inspect", folder / "in.pt2"}).exit, 0);
}

TEST(Prune, ATargetThatCannotBeMetSaysByHowMuch) {
  const auto result = run_cli({"plan", case_path("syn_lstm1"), "--params", "1"});
  EXPECT_EQ(result.exit, 4);
  EXPECT_TRUE(result.err.starts_with("error[E0430]")) << result.err;
  EXPECT_NE(result.err.find("too many"), std::string::npos) << result.err;
}

TEST(Plan, ListsEveryChangedDimensionWithItsKeptIndices) {
  const json plan = run_json({"plan", case_path("syn_lstm1"), "--ratio", "0.5"});
  ASSERT_FALSE(plan["parameters"].empty());
  for (const json& parameter : plan["parameters"]) {
    for (const auto& [dim, kept] : parameter["kept"].items()) {
      const std::int64_t size = parameter["shape"].at(std::stoul(dim));
      EXPECT_LT(kept.size(), static_cast<std::size_t>(size)) << parameter["name"];
      EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
      EXPECT_LT(kept.back(), size);
    }
  }
  for (const json& group : plan["groups"]) {
    EXPECT_TRUE(group["kind"] == "exact" || group["kind"] == "renormalised");
    EXPECT_EQ(group["removed"].size() + group["kept"].get<std::size_t>(), group["size"].get<std::size_t>());
  }
}

TEST(Plan, ExactLeavesRenormalisedGroupsWhole) {
  const json plan = run_json({"plan", case_path("transenc"), "--ratio", "0.5", "--exact"});
  for (const json& group : plan["groups"])
    if (group["kind"] == "renormalised") EXPECT_TRUE(group["removed"].empty()) << group["id"];
}

TEST(Plan, SweepShowsOneLineARatio) {
  const auto result = run_cli({"plan", case_path("syn_lstm1"), "--sweep", "0.1:0.5:0.1", "-q"});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 5);
  EXPECT_EQ(run_json({"plan", case_path("syn_lstm1"), "--sweep", "0.1:0.5:0.1"})["sweep"].size(), 5U);
}

TEST(Plan, GroupsShowWhyOneWasKeptWhole) {
  const auto result = run_cli({"plan", case_path("transenc"), "--ratio", "0.5", "--exact", "--groups"}, 140);
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_NE(result.out.find("why kept whole"), std::string::npos) << result.out;
}

TEST(Verify, WithoutAPlanSaysSo) {
  const auto result = run_cli({"verify", case_path("syn_gn"), case_path("syn_gn")});
  EXPECT_EQ(result.exit, 3);
  EXPECT_TRUE(result.err.starts_with("error[E0327]")) << result.err;
}

TEST(Verify, AnotherNetworkUnderTheSamePlanFails) {
  const ScopedFolder folder;
  EXPECT_EQ(run_cli({"plan", case_path("syn_gn"), "--ratio", "0.5", "-o", folder / "plan.json"}).exit, 0);
  EXPECT_EQ(
      run_cli({"prune", case_path("syn_gn"), folder / "r.pt2", "--ratio", "0.5", "--criterion", "random"})
          .exit,
      0);
  EXPECT_EQ(run_cli({"verify", folder / "r.pt2", case_path("syn_gn")}).exit, 0);
  EXPECT_EQ(run_cli({"verify", folder / "r.pt2", case_path("syn_gn"), "--plan", folder / "plan.json"}).exit,
            1);
}

}  // namespace
}  // namespace pollard::cli
