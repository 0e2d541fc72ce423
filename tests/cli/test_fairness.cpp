// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/cli/support/cases.h"

namespace pollard::cli {
namespace {

using test::case_path;
using test::run_cli;
using test::run_json;
using test::ScopedFolder;
using Words = std::vector<std::string>;

/// A small exported decoder with what it takes to measure it, in token ids.
class Fairness : public ::testing::Test {
 protected:
  Fairness() {
    test::write_text(folder_ / "prompts.json",
                     R"({"attributes": {"negative": [[3, 4], [5, 6]], "positive": [[7, 8], [9]]},
                         "axes": {"x": {"a": [[10, 11, 12]], "b": [[13, 14], [15, 16, 17]]},
                                  "y": {"a": [[18, 19]], "b": [[20, 21]]}}})");
    std::string ids = "[1";
    for (int i = 0; i < 60; ++i) ids += "," + std::to_string(i * 13 % 997);
    test::write_text(folder_ / "text.json", ids + "]");
  }
  Words line(const std::string& action, const Words& more) const {
    Words out{"fairness", action, case_path("hf_gpt2")};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  Words measured(const std::string& action, Words more = {}) const {
    for (const std::string& word : {std::string("--prompts"), folder_ / "prompts.json", std::string("--text"),
                                    folder_ / "text.json", std::string("--window"), std::string("16")})
      more.push_back(word);
    return line(action, more);
  }
  ScopedFolder folder_;
};

TEST_F(Fairness, ScoresPlansAndPrunesAnExportedDecoder) {
  const auto scored = run_json(measured("score", {"-o", folder_ / "s.json", "--csv", folder_ / "s.csv",
                                                  "--baselines", "--resume", folder_ / "state"}));
  EXPECT_EQ(scored["scores"]["units"].size(), 8U);
  EXPECT_EQ(scored["scores"]["axes"].size(), 2U);
  EXPECT_NE(test::read_text(folder_ / "s.csv").find("perplexity"), std::string::npos);
  // Once more from what was kept: the same numbers.
  EXPECT_EQ(run_json(measured("score", {"--resume", folder_ / "state", "--baselines"}))["scores"],
            scored["scores"]);

  const auto plan =
      run_json(line("plan", {"--scores", folder_ / "s.json", "--alpha", "0.25", "-o", folder_ / "p.json"}));
  std::size_t removed = 0;
  for (const auto& group : plan["groups"]) removed += group["removed"].size();
  EXPECT_EQ(removed, 2U);
  const auto direct =
      run_cli({"prune", case_path("hf_gpt2"), folder_ / "a.pt2", "--plan", folder_ / "p.json"});
  EXPECT_EQ(direct.exit, 0) << direct.err;

  const auto pruned =
      run_cli(measured("prune", {folder_ / "b.pt2", "--scores", folder_ / "s.json", "--alpha", "0.25"}));
  EXPECT_EQ(pruned.exit, 0) << pruned.err;
  EXPECT_NE(pruned.out.find("pruned == masked original"), std::string::npos);
  EXPECT_NE(pruned.out.find("before [95 %]"), std::string::npos);
  EXPECT_NE(pruned.out.find("note "), std::string::npos);
  EXPECT_EQ(run_cli({"verify", folder_ / "b.pt2", case_path("hf_gpt2")}).exit, 0);
}

TEST_F(Fairness, JoinsHeadsWithOtherGroupsAndDrawsTheFront) {
  EXPECT_EQ(run_cli(measured("score", {"-o", folder_ / "s.json"})).exit, 0);
  const auto plan =
      run_json(line("plan", {"--scores", folder_ / "s.json", "--alpha", "0.25", "--speedup", "1.5x"}));
  EXPECT_LE(plan["totals"]["after"]["macs"].get<double>() * 1.5,
            plan["totals"]["before"]["macs"].get<double>());
  const auto front = run_cli(measured(
      "front", {"--scores", folder_ / "s.json", "--svg", folder_ / "f.svg", "--csv", folder_ / "f.csv"}));
  EXPECT_EQ(front.exit, 0) << front.err;
  EXPECT_TRUE(test::read_text(folder_ / "f.svg").starts_with("<svg"));
  EXPECT_NE(test::read_text(folder_ / "f.csv").find("fasp"), std::string::npos);
}

TEST_F(Fairness, SaysWhatIsMissing) {
  const auto code = [&](const Words& words) { return run_cli(words).err.substr(0, 12); };
  EXPECT_EQ(code(line("score", {})), "error[E0204]");
  EXPECT_EQ(code(line("score", {"--prompts", folder_ / "prompts.json"})), "error[E0204]");
  EXPECT_EQ(code(line("prune", {"--scores", folder_ / "absent.json"})), "error[E0204]");
  EXPECT_EQ(code(line("plan", {"--scores", folder_ / "prompts.json"})), "error[E0394]");
  test::write_text(folder_ / "words.json", R"({"axes": {"x": {"a": ["text"], "b": ["text"]}}})");
  EXPECT_EQ(code(line("score", {"--prompts", folder_ / "words.json", "--text", folder_ / "text.json",
                                "--metric", "descriptor"})),
            "error[E0392]");
  EXPECT_EQ(code(measured("score", {"--axis", "height"})), "error[E0203]");
  EXPECT_EQ(run_cli(measured("score", {"--metric", "charm"})).exit, 2);
}

}  // namespace
}  // namespace pollard::cli
