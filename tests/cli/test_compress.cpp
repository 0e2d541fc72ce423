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

// Samples as text: a vocabulary of letters, sentences of one to nine of them.
TEST(Compress, AttentionBecomesANetworkTrainedOnSamples) {
  const test::ScopedFolder folder;
  std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n", text;
  for (char letter = 'a'; letter <= 'z'; ++letter) vocabulary += std::string(1, letter) + "\n";
  for (int line = 0; line < 20; ++line) {
    for (int k = 0; k <= line % 9; ++k) text += std::string(1, static_cast<char>('a' + line * k % 26)) + " ";
    text += "\n";
  }
  test::write_text(folder / "vocab.txt", vocabulary);
  test::write_text(folder / "text.txt", text);
  test::write_text(folder / "spec.json",
                   R"({"vocab_size":30,"hidden_size":32,"num_hidden_layers":2,"num_attention_heads":4,)"
                   R"("intermediate_size":48,"max_position_embeddings":40})");
  test::run_cli({"init", "bert", folder / "bert.pt2", "--spec", folder / "spec.json"});
  const std::string out = folder / "ffn.pt2";
  const auto report = test::run_json({"compress", folder / "bert.pt2", out, "--attention-to-ffn", "--calib",
                                      folder / "text.txt", "--tokenizer", folder / "", "--epochs", "20",
                                      "--lr", "1e-3", "--repeat", "2"});
  EXPECT_EQ(report["schema"], "pollard.compress/1");
  ASSERT_EQ(report["layers"].size(), 2U);
  for (const auto& layer : report["layers"]) EXPECT_LT(layer["error"], layer["error_before"]);
  EXPECT_GT(report["latency_seconds"]["after"].get<double>(), 0);
  EXPECT_NE(report["parameters"]["after"], report["parameters"]["before"]);
  const models::Model written = models::load(out);
  EXPECT_FALSE(written.weights.contains("encoder.layer.0.attention.self.query.weight"));
  EXPECT_EQ(test::run_cli({"inspect", out}).exit, 0);

  const auto refuses = [&](std::vector<std::string> line, const std::string& code) {
    const auto result = test::run_cli(line);
    return result.err.find(code) != std::string::npos && result.exit != 0;
  };
  const std::string none = folder / "none.pt2";
  EXPECT_TRUE(refuses({"compress", folder / "bert.pt2", none, "--attention-to-ffn"}, "E0210"));
  EXPECT_TRUE(refuses({"compress", folder / "bert.pt2", none, "--attention-to-ffn", "--monarch"}, "E0206"));
  EXPECT_TRUE(refuses({"compress", folder / "bert.pt2", none, "--attention-to-ffn", "--calib",
                       folder / "text.txt", "--tokenizer", folder / "", "--only", "decoder*"},
                      "E0441"));
  EXPECT_TRUE(refuses({"compress", folder / "bert.pt2", none, "--attention-to-ffn", "--calib",
                       folder / "text.txt", "--tokenizer", folder / "", "--size", "huge"},
                      "E0203"));
  EXPECT_FALSE(std::filesystem::exists(none));
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
