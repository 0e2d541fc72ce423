// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "models/io/safetensors.h"
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
  /// With a batch and a length of its own choice, unlike the exported one.
  std::string small_decoder() const {
    const std::string path = folder_ / "lm.safetensors";
    test::write_text(folder_ / "lm.json",
                     R"({"vocab_size":1000,"n_positions":64,"n_embd":16,"n_layer":2,"n_head":2})");
    EXPECT_EQ(run_cli({"init", "gpt2", path, "--spec", folder_ / "lm.json"}).exit, 0);
    return path;
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
  EXPECT_NE(pruned.out.find("change [95 %]"), std::string::npos);
  EXPECT_NE(pruned.out.find("note "), std::string::npos);
  EXPECT_EQ(run_cli({"verify", folder_ / "b.pt2", case_path("hf_gpt2")}).exit, 0);
}

TEST_F(Fairness, ScoresOfMoreAxesServeForFewer) {
  ASSERT_EQ(run_cli(measured("score", {"-o", folder_ / "both.json"})).exit, 0);
  ASSERT_EQ(run_cli(measured("score", {"-o", folder_ / "y.json", "--axis", "y"})).exit, 0);
  const auto planned = [&](const std::string& scores) {
    return run_json(line("plan", {"--scores", folder_ / scores, "--axis", "y", "--alpha", "0.25"}))["groups"];
  };
  EXPECT_EQ(planned("both.json"), planned("y.json"));
  const auto front = run_cli(
      measured("front", {"--scores", folder_ / "both.json", "--axis", "y", "--csv", folder_ / "front.csv"}));
  EXPECT_EQ(front.exit, 0) << front.err;
  EXPECT_EQ(test::read_text(folder_ / "front.csv").find(",x"), std::string::npos);
  EXPECT_EQ(run_cli(line("plan", {"--scores", folder_ / "y.json", "--axis", "x"})).exit, 2);
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

TEST_F(Fairness, ChoosesGreedilyWithinAFloorByParetoAndRefits) {
  EXPECT_EQ(run_cli(measured("score", {"-o", folder_ / "s.json"})).exit, 0);
  const auto removed = [&](Words more) {
    for (const char* word : {"--scores", "", "--alpha", "0.5"})
      more.push_back(*word ? std::string(word) : folder_ / "s.json");
    const auto plan = run_json(measured("plan", more));
    std::size_t out = 0;
    for (const auto& group : plan["groups"]) out += group["removed"].size();
    return out;
  };
  EXPECT_EQ(removed({}), 4U);
  EXPECT_EQ(removed({"--pareto"}), 4U);
  EXPECT_EQ(removed({"--greedy"}), 4U);
  EXPECT_EQ(removed({"--greedy", "--floor", "100%"}), 4U);
  EXPECT_LE(removed({"--floor", "0%"}), 4U);
  Words prune =
      measured("prune", {folder_ / "c.pt2", "--alpha", "0.25", "--repair", "--csv", folder_ / "c.csv"});
  prune[2] = small_decoder();
  const auto pruned = run_json(prune);
  EXPECT_TRUE(pruned["verify"]["ok"].get<bool>());
  EXPECT_GT(pruned["repair"]["layers"].get<int>(), 0);
  EXPECT_LE(pruned["repair"]["median_error_after"].get<double>(),
            pruned["repair"]["median_error_before"].get<double>() + 1e-9);
  ASSERT_EQ(pruned["standing"].size(), 6U);  // two axes with two subgroups each
  for (const auto& row : pruned["standing"]) {
    const auto interval = row["change"]["interval"].get<std::vector<double>>();
    EXPECT_LE(interval[0], interval[1]);
  }
  EXPECT_NE(test::read_text(folder_ / "c.csv").find("change_high"), std::string::npos);
  EXPECT_EQ(run_cli(measured("plan", {"--scores", folder_ / "s.json", "--pareto", "--axis", "x=2,y"})).exit,
            2);
}

TEST_F(Fairness, JudgesWhatTheModelWritesByAClassifier) {
  test::write_text(folder_ / "cls.json", R"({"vocab":1000,"input_size":8,"hidden_size":4,"output_size":2})");
  const std::string judge = folder_ / "judge.safetensors";
  EXPECT_EQ(run_cli({"init", "rnn_classifier", judge, "--spec", folder_ / "cls.json"}).exit, 0);
  Words score = measured("score", {"--metric", "toxicity", "--new-tokens", "3"});
  score[2] = small_decoder();
  EXPECT_EQ(run_cli(score).err.substr(0, 12), "error[E0204]");
  score.insert(score.end(), {"--classifier", judge});
  const auto scored = run_json(score);
  EXPECT_EQ(scored["scores"]["bias"], "toxicity");
  EXPECT_EQ(scored["scores"]["units"].size(), 4U);
}

TEST_F(Fairness, MeasuresTheGapsOfLabelledData) {
  test::write_text(folder_ / "spec.json", R"({"vocab":50,"input_size":8,"hidden_size":6,"output_size":2})");
  const std::string model = folder_ / "cls.safetensors";
  EXPECT_EQ(run_cli({"init", "rnn_classifier", model, "--spec", folder_ / "spec.json"}).exit, 0);
  const at::Tensor all = at::arange(12, at::kLong);
  models::io::save_safetensors(folder_ / "data.safetensors",
                               {{"ids", all.view({12, 1}).expand({12, 4}).contiguous() * 3},
                                {"labels", all.remainder(2)},
                                {"groups", all.floor_divide(6)}},
                               {}, true);
  const Words data{"--metric", "equalised-odds", "--data", folder_ / "data.safetensors"};
  Words score{"fairness", "score", model, "--units", "*weight_hh*", "-o", folder_ / "g.json"};
  score.insert(score.end(), data.begin(), data.end());
  const auto scored = run_json(score);
  EXPECT_EQ(scored["scores"]["performance"], "error");
  EXPECT_GT(scored["scores"]["units"].size(), 6U);
  Words prune{"fairness", "prune", model, folder_ / "small.safetensors", "--scores", folder_ / "g.json"};
  prune.insert(prune.end(), data.begin(), data.end());
  const auto pruned = run_cli(prune);
  EXPECT_EQ(pruned.exit, 0) << pruned.err;
  EXPECT_NE(pruned.out.find("group 1"), std::string::npos);
  EXPECT_EQ(run_cli({"fairness", "score", model, "--units", "*hh*", "--metric", "fpr-gap"}).err.substr(0, 12),
            "error[E0204]");
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
