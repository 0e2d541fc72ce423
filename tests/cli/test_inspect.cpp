// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>

#include "cli/ui/text.h"
#include "tests/cli/support/cases.h"

namespace pollard::cli {
namespace {

using nlohmann::json;
using test::case_path;
using test::run_cli;
using test::run_json;
using test::ScopedFolder;

TEST(Inspect, SummaryNamesSizeGroupsAndValues) {
  const auto result = run_cli({"inspect", case_path("syn_lstm1")});
  EXPECT_EQ(result.exit, 0) << result.err;
  for (const char* part : {"\nsize     ", "\ngroups   ", "\nvalues   finite", "\ngroup  units"})
    EXPECT_NE(result.out.find(part), std::string::npos) << result.out;
  for (const std::string& line : split(result.out, '\n'))
    if (line.find(".pt2") == std::string::npos) EXPECT_LE(display_width(line), 80) << line;
}

TEST(Inspect, JsonListsGroupsWithMembersAndFrozenAxesWithReasons) {
  const json report = run_json({"inspect", case_path("syn_lstm1")});
  EXPECT_EQ(report["schema"], "pollard.inspect/1");
  ASSERT_FALSE(report["groups"].empty());
  for (const json& group : report["groups"]) {
    EXPECT_FALSE(group["members"].empty()) << group["id"];
    for (const json& member : group["members"]) {
      EXPECT_LT(member["dim"].get<std::size_t>(), member["shape"].size());
      EXPECT_GE(member["rows_per_unit"], 1) << member["name"];
    }
  }
  ASSERT_FALSE(report["frozen"].empty());
  for (const json& axis : report["frozen"]) EXPECT_FALSE(axis["reason"].get<std::string>().empty());
}

TEST(Inspect, AnLstmsUnitOwnsFourRowsOfItsGates) {
  const json report = run_json({"inspect", case_path("syn_lstm1")});
  int gates = 0;
  for (const json& group : report["groups"])
    for (const json& member : group["members"])
      if (member["name"].get<std::string>().find("weight_hh_l0") != std::string::npos && member["dim"] == 0)
        gates += member["rows_per_unit"] == 4 ? 1 : 0;
  EXPECT_GE(gates, 1) << report["groups"].dump(2);
}

TEST(Inspect, QuietGroupsAreTsvThatSorts) {
  const auto rows = split(run_cli({"inspect", case_path("mha"), "--show", "groups", "-q"}).out, '\n');
  ASSERT_GE(rows.size(), 2U);
  for (std::size_t r = 0; r + 1 < rows.size(); ++r) EXPECT_EQ(split(rows[r], '\t').size(), 8U) << rows[r];
}

TEST(Inspect, OneGroupShowsItsMembers) {
  const auto result = run_cli({"inspect", case_path("syn_lstm1"), "--group", "G01"});
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_NE(result.out.find("rows per unit"), std::string::npos) << result.out;
  const auto wrong = run_cli({"inspect", case_path("syn_lstm1"), "--group", "G1"});
  EXPECT_EQ(wrong.exit, 2);
  EXPECT_NE(wrong.err.find("did you mean \"G01\"?"), std::string::npos) << wrong.err;
}

TEST(Inspect, EveryPartOfShowPrints) {
  for (const char* part : {"summary", "tensors", "groups", "frozen", "values", "program"}) {
    const auto result = run_cli({"inspect", case_path("syn_sdpa"), "--show", part}, 120);
    EXPECT_EQ(result.exit, 0) << part << result.err;
    EXPECT_NE(result.out, "") << part;
  }
  EXPECT_EQ(run_cli({"inspect", case_path("syn_sdpa"), "--show", "everything"}).exit, 2);
}

TEST(Inspect, FilterKeepsGroupsThatTouchTheNames) {
  const json all = run_json({"inspect", case_path("hf_bert")});
  const json some = run_json({"inspect", case_path("hf_bert"), "--filter", "*intermediate*"});
  EXPECT_LT(some["groups"].size(), all["groups"].size());
  EXPECT_GE(some["groups"].size(), 1U);
}

TEST(Inspect, SeveralFilesGiveOneLineOfJsonEach) {
  const auto result = run_cli({"inspect", case_path("syn_gn"), case_path("mha"), "--json"});
  const auto lines = split(result.out, '\n');
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_NE(json::parse(lines[0])["sha256"], json::parse(lines[1])["sha256"]);
}

TEST(Inspect, DotGoesToAFile) {
  const ScopedFolder folder;
  EXPECT_EQ(run_cli({"inspect", case_path("syn_gn"), "--dot", folder / "g.dot"}).exit, 0);
  EXPECT_NE(test::read_text(folder / "g.dot").find("graph"), std::string::npos);
}

TEST(Inspect, MissingFilesAreErrorsOfTheFile) {
  const auto result = run_cli({"inspect", "no-such-model.pt2"});
  EXPECT_EQ(result.exit, 3);
  EXPECT_TRUE(result.err.starts_with("error[E0302] no-such-model.pt2: ")) << result.err;
}

TEST(Explain, CodesHaveAPage) {
  const auto result = run_cli({"explain", "E0301"});
  EXPECT_EQ(result.exit, 0);
  EXPECT_TRUE(result.out.starts_with("E0301  ")) << result.out;
  EXPECT_EQ(run_json({"explain", "e0207"})["exit"], 2);
  EXPECT_EQ(run_cli({"explain", "E9999"}).exit, 2);
}

TEST(Explain, ADimensionIsInAGroupOrFrozenForAReason) {
  const json group = run_json({"inspect", case_path("syn_lstm1")})["groups"][0];
  const json member = group["members"][0];
  const std::string name = member["name"].get<std::string>() + ":" + std::to_string(member["dim"].get<int>());
  const json explained = run_json({"explain", case_path("syn_lstm1"), name});
  bool named = false;
  for (const json& axis : explained["axes"]) named = named || axis["group"] == group["id"];
  EXPECT_TRUE(named) << explained.dump();
}

TEST(Explain, CoupledDimensionsHaveAPath) {
  for (const json& group : run_json({"inspect", case_path("hf_bert")})["groups"]) {
    const json &first = group["members"].front(), &last = group["members"].back();
    const auto name = [](const json& m) {
      return m["name"].get<std::string>() + ":" + std::to_string(m["dim"].get<int>());
    };
    const json path = run_json({"explain", case_path("hf_bert"), name(first), name(last)});
    EXPECT_TRUE(path["coupled"]) << group["id"];
    EXPECT_EQ(path["steps"].back()["reaches"], name(last));
  }
}

TEST(Explain, UnknownNamesGetNearOnes) {
  const auto result = run_cli({"explain", case_path("mha"), "nothing.weight"});
  EXPECT_EQ(result.exit, 2);
  EXPECT_TRUE(result.err.starts_with("error[E0203] nothing.weight")) << result.err;
}

TEST(Export, ChoosesTheFormatByExtension) {
  const ScopedFolder folder;
  for (const char* name : {"m.pt2", "m.safetensors", "m.dot", "m.json"}) {
    EXPECT_EQ(run_cli({"export", case_path("syn_gn"), folder / name}).exit, 0) << name;
    EXPECT_GT(std::filesystem::file_size(folder / name), 100U);
  }
  EXPECT_EQ(run_cli({"export", case_path("syn_gn"), folder / "m.pkl"}).exit, 2);
  EXPECT_EQ(json::parse(test::read_text(folder / "m.json"))["schema"], "pollard.model/1");
  EXPECT_EQ(run_json({"inspect", folder / "m.pt2"})["groups"],
            run_json({"inspect", case_path("syn_gn")})["groups"]);
}

TEST(Inspect, ShowsWhatRunsWhenLowered) {
  const auto shown = run_cli({"inspect", case_path("syn_flatten_bn_fc"), "--lowered"});
  EXPECT_EQ(shown.exit, 0);
  EXPECT_NE(shown.out.find("batch-norms"), std::string::npos);
  EXPECT_NE(shown.out.find("pollard.packed_conv2d"), std::string::npos);
  EXPECT_EQ(run_cli({"inspect", "--family", "bert", "--lowered"}).exit, 2);
}

}  // namespace
}  // namespace pollard::cli
