// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "cli/app.h"
#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/report/lanes.h"
#include "cli/report/page.h"
#include "cli/report/report.h"
#include "tests/cli/support/cases.h"
#include "tests/graph/program_builder.h"

namespace pollard::cli {
namespace {

using graph::testing::ProgramBuilder;
using test::case_path;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size()))
    ++found;
  return found;
}

/// Every element is closed in order; fails the test where one is not.
void expect_balanced(const std::string& html) {
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    if (html[at + 1] == '!' || html[end - 1] == '/') continue;
    const bool closes = html[at + 1] == '/';
    const std::string name = html.substr(at + 1 + closes, html.find_first_of(" >", at + 1) - at - 1 - closes);
    if (!closes) {
      open.push_back(name);
      if (name == "style" || name == "script") at = html.find("</" + name, at) - 1;
      continue;
    }
    ASSERT_FALSE(open.empty()) << html.substr(at, 80);
    EXPECT_EQ(open.back(), name) << html.substr(at, 80);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
}

/// A chain of layers with the given names.
AnalysedModel chain(const std::vector<std::string>& names) {
  ProgramBuilder builder;
  graph::ValueId x = builder.input("x", {2, 8});
  for (const std::string& name : names) x = builder.linear(x, builder.parameter(name, {8, 8}), {2, 8});
  AnalysedModel out{.path = "chain", .model = {}, .dependencies = {}};
  out.model.program = builder.finish(x);
  out.dependencies = graph::analyse(out.model.program);
  return out;
}

Json document_of(const AnalysedModel& m) {
  CommandLine line;
  add_commands(line);
  const std::vector<std::string> arguments{"inspect", "chain"};
  line.parse(arguments);
  return report::document({.model = m}, line);
}

TEST(Report, NamesFromFilesAreEscaped) {
  const std::string hostile = "</script><img src=x onerror=alert(1)>";
  AnalysedModel m = chain({hostile + ".weight", "\"onload='alert(2)'.weight", "a\x1b[31m\xff.weight"});
  for (graph::Op& op : m.model.program.ops) op.module = hostile;
  m.path = hostile;
  m.model.family = "<b>family</b>";
  const std::string html = report::page(document_of(m));
  expect_balanced(html);
  EXPECT_EQ(count(html, "<script"), 1U);
  EXPECT_EQ(count(html, "</script"), 1U);
  EXPECT_EQ(count(html, "<img"), 0U);
  EXPECT_EQ(count(html, "<b>"), 0U);
  EXPECT_EQ(html.find('\x1b'), std::string::npos);
  EXPECT_EQ(html.find('\xff'), std::string::npos);
  EXPECT_NE(html.find("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;.weight"), std::string::npos);
  EXPECT_NE(html.find("&quot;onload=&#39;alert(2)&#39;"), std::string::npos);
}

TEST(Report, PageAndJsonTellTheSame) {
  const test::ScopedFolder folder;
  const std::string small = folder / "small.pt2", page = folder / "r.html", json = folder / "r.json";
  ASSERT_EQ(test::run_cli({"prune", case_path("transenc"), small, "--ratio", "0.5", "--report", page}).exit,
            0);
  ASSERT_EQ(
      test::run_cli({"prune", case_path("transenc"), small, "--ratio", "0.5", "--force", "--report", json})
          .exit,
      0);
  const std::string html = test::read_text(page);
  const auto document = nlohmann::json::parse(test::read_text(json));
  expect_balanced(html);
  EXPECT_EQ(html.find("://"), std::string::npos) << "nothing is loaded from elsewhere";
  EXPECT_EQ(html.find(" src="), std::string::npos);
  EXPECT_EQ(document["schema"], "pollard.report/1");
  EXPECT_TRUE(document["verify"]["ok"].get<bool>());
  EXPECT_NE(html.find("Verified."), std::string::npos);
  for (const auto& group : document["groups"]) {
    EXPECT_FALSE(group["removed"].empty());
    EXPECT_FALSE(group["couplings"].empty());
    EXPECT_NE(html.find("id=\"" + group["id"].get<std::string>() + "\""), std::string::npos);
  }
  for (const auto& layer : document["layers"])
    EXPECT_NE(html.find(layer["parameter"].get<std::string>()), std::string::npos);
  for (const auto& axis : document["frozen"])
    if (!axis["members"].empty())
      EXPECT_NE(html.find(report::escaped(axis["reason"].get<std::string>())), std::string::npos);
  EXPECT_EQ(count(html, "<g class=\"r"), document["network"]["nodes"].size());
  EXPECT_EQ(document["trade_off"].size(), 5U);
  EXPECT_FALSE(document["criterion"]["groups"].empty());
  EXPECT_NE(html.find("--ratio"), std::string::npos);
}

TEST(Report, WidthsAreThoseOfTheSmallerNetwork) {
  const test::ScopedFolder folder;
  const std::string small = folder / "small.pt2", json = folder / "r.json";
  test::run_cli({"prune", case_path("transenc"), small, "--ratio", "0.5", "--report", json});
  const auto pruned = test::run_json({"inspect", small, "--show", "tensors"});
  const auto document = nlohmann::json::parse(test::read_text(json));
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& tensor : pruned["tensors"])
    shapes[tensor["name"]] = tensor["shape"].get<std::vector<std::int64_t>>();
  bool narrower = false;
  for (const auto& layer : document["layers"]) {
    EXPECT_EQ(layer["after"], shapes.at(layer["parameter"])[layer["dim"].get<std::size_t>()]) << layer;
    narrower = narrower || layer["after"] < layer["before"];
  }
  EXPECT_TRUE(narrower);
  EXPECT_EQ(document["cost"]["after"]["parameters"], pruned["parameters"]);
  for (const auto& op : document["latency"]["ops"])
    EXPECT_GT(op["before"].is_null() ? op["after"].get<double>() : op["before"].get<double>(), 0) << op;
}

TEST(Report, ShowsCurvesThatWereMeasured) {
  const test::ScopedFolder folder;
  const std::string swept = folder / "sweep.html", bare = folder / "inspect.html";
  ASSERT_EQ(test::run_cli({"plan", case_path("transenc"), "--sweep", "0.2:0.6:0.2", "--report", swept}).exit,
            0);
  EXPECT_EQ(count(test::read_text(swept), "class=\"dot a\""), 3U);
  ASSERT_EQ(test::run_cli({"inspect", case_path("transenc"), "--report", bare}).exit, 0);
  EXPECT_EQ(test::read_text(bare).find("id=\"curves\""), std::string::npos);
}

TEST(Report, OtherFormsHaveOneToo) {
  const test::ScopedFolder folder;
  const std::string json = folder / "r.json";
  ASSERT_EQ(test::run_cli({"compress", case_path("transenc"), folder / "monarch.pt2", "--monarch", "--repeat",
                           "0", "--report", json})
                .exit,
            0);
  const auto document = nlohmann::json::parse(test::read_text(json));
  EXPECT_LT(document["cost"]["after"]["parameters"], document["cost"]["before"]["parameters"]);
  EXPECT_TRUE(document["plan"].is_null());
  EXPECT_NE(report::page(document).find("id=\"latency\""), std::string::npos);
}

TEST(Report, RefusesBadPathsBeforeAnyWork) {
  const test::ScopedFolder folder;
  EXPECT_EQ(test::run_cli({"inspect", "nowhere.pt2", "--report", folder / "r.txt"}).exit, 2);
  test::write_text(folder / "r.html", "mine");
  const auto result = test::run_cli({"inspect", case_path("transenc"), "--report", folder / "r.html"});
  EXPECT_NE(result.exit, 0);
  EXPECT_EQ(test::read_text(folder / "r.html"), "mine");
}

TEST(Report, TenThousandOpsAreCollapsed) {
  std::vector<std::string> names;
  for (int block = 0; block < 400; ++block)
    for (int layer = 0; layer < 25; ++layer)
      names.push_back("blocks." + std::to_string(block) + ".layer" + std::to_string(layer) + ".weight");
  const AnalysedModel m = chain(names);
  const Json network = report::network_part(m, nullptr);
  EXPECT_EQ(network["collapsed"], "10000 ops, drawn by module");
  EXPECT_EQ(network["nodes"].size(), 402U) << "blocks, the input and the output";
  EXPECT_EQ(network["nodes"][1]["module"], "blocks.0");
  EXPECT_EQ(network["nodes"][1]["ops"], 25);
  EXPECT_EQ(report::network_part(chain({"a", "b", "c", "d", "e"}), nullptr, 2)["nodes"].size(), 4U);
}

TEST(Lanes, AChainKeepsItsLaneAndABranchGetsAnother) {
  EXPECT_EQ(report::assign_lanes({{}, {0}, {1}, {2}}).lane, (std::vector<std::int32_t>{0, 0, 0, 0}));
  const report::Lanes residual = report::assign_lanes({{}, {0}, {1}, {0, 2}, {3}});
  EXPECT_EQ(residual.lane, (std::vector<std::int32_t>{0, 1, 1, 0, 0}));
  EXPECT_EQ(residual.count, 2);
}

TEST(Lanes, WhatIsStillReadIsNeverCrossed) {
  std::mt19937 random(7);
  std::vector<std::vector<std::int32_t>> reads(500);
  for (std::size_t i = 1; i < reads.size(); ++i)
    for (int k = 0; k < 2; ++k)
      reads[i].push_back(
          static_cast<std::int32_t>(random() % std::min<std::size_t>(i, 40) + (i < 40 ? 0 : i - 40)));
  const report::Lanes lanes = report::assign_lanes(reads);
  std::vector<std::size_t> last(reads.size(), 0);
  for (std::size_t i = 0; i < reads.size(); ++i)
    for (const auto from : reads[i]) last[static_cast<std::size_t>(from)] = i;
  for (std::size_t a = 0; a < reads.size(); ++a)
    for (std::size_t b = a + 1; b < last[a]; ++b) EXPECT_NE(lanes.lane[a], lanes.lane[b]) << a << " " << b;
}

}  // namespace
}  // namespace pollard::cli
