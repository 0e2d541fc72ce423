// SPDX-License-Identifier: Apache-2.0
// train, finetune and eval as they are typed.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "models/io/safetensors.h"
#include "tests/cli/support/cases.h"

namespace pollard::cli {
namespace {

class Train : public ::testing::Test {
 protected:
  Train() {
    const at::Tensor labels = at::arange(64, at::kLong) % 4;
    const at::Tensor x =
        ((at::arange(36, at::kFloat) * 0.4F).view({1, 36}) * (labels.view({-1, 1}) + 1)).sin();
    models::io::save_safetensors(data, {{"x", x.view({64, 1, 6, 6})}, {"labels", labels}}, {}, false);
  }
  test::Result run(const std::vector<std::string>& arguments, const std::string& command = "train") const {
    std::vector<std::string> line{command, net, data, folder / "out.pt2", "--batch", "16", "--force"};
    line.insert(line.end(), arguments.begin(), arguments.end());
    return test::run_cli(line);
  }
  test::ScopedFolder folder;
  std::string net = pollard::test::data_folder() + "/training/data/net.pt2",
              data = folder / "data.safetensors";
};

int lines_with(const std::string& text, const std::string& word) {
  int count = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

TEST_F(Train, SaysOneLineAnEpochAndRemovesItsCheckpoint) {
  const test::Result result = run({"--epochs", "3", "--val", data});
  ASSERT_EQ(result.exit, 0) << result.err;
  EXPECT_EQ(lines_with(result.out, "/3"), 3) << result.out;
  EXPECT_EQ(lines_with(result.out, "top1"), 3) << result.out;
  EXPECT_TRUE(std::filesystem::exists(folder / "out.pt2"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out.pt2.checkpoint"));
}

TEST_F(Train, TakesARecipeAndFlagsGoBeforeIt) {
  test::write_text(folder / "r.toml", "epochs = 2\nlr = 0.001\noptimizer = \"adamw\"\nnesterov = true\n");
  const test::Result two = run({"--recipe", folder / "r.toml"});
  EXPECT_EQ(lines_with(two.out, "/2"), 2) << two.out << two.err;
  EXPECT_EQ(lines_with(run({"--recipe", folder / "r.toml", "--epochs", "4"}).out, "/4"), 4);
  test::write_text(folder / "r.toml", "epocs = 2\n");
  const test::Result wrong = run({"--recipe", folder / "r.toml"});
  EXPECT_EQ(wrong.exit, 2);
  EXPECT_NE(wrong.err.find("E0209"), std::string::npos) << wrong.err;
}

TEST_F(Train, RefusesStepsWithoutABudgetAndResumingFromNothing) {
  EXPECT_NE(run({"--steps", "2"}).err.find("E0206"), std::string::npos);
  EXPECT_NE(run({"--epochs", "2", "--steps", "2", "--speedup", "2x"}).err.find("E0206"), std::string::npos);
  EXPECT_NE(run({"--resume"}).err.find("E0214"), std::string::npos);
  EXPECT_NE(run({"--loss", "hinge"}).err.find("E0203"), std::string::npos);
}

TEST_F(Train, PrunesOnTheWayAndIsTaughtByTheModelAsGiven) {
  const test::Result result = run({"--epochs", "4", "--speedup", "1.5x", "--steps", "2"}, "finetune");
  ASSERT_EQ(result.exit, 0) << result.err;
  EXPECT_NE(result.out.find("taught by the dense parent"), std::string::npos) << result.out;
  const auto cost = [&](const std::string& path) {
    return test::run_json({"plan", path, "--ratio", "0.25"})
        .at("totals")
        .at("before")
        .at("macs")
        .get<double>();
  };
  EXPECT_LE(cost(folder / "out.pt2") * 1.5, cost(net));
}

TEST_F(Train, EvaluationGatesAndCompares) {
  ASSERT_EQ(run({"--epochs", "12", "--lr", "0.05"}).exit, 0);
  const nlohmann::json json = test::run_json({"eval", folder / "out.pt2", net, data, "--baseline", net});
  const auto& models = json.at("models");
  EXPECT_GT(models[0].at("top1").get<double>(), models[1].at("top1").get<double>());
  EXPECT_NEAR(models[1].at("fidelity").get<double>(), 1, 1e-9);
  EXPECT_EQ(test::run_cli({"eval", net, data, "--min", "top1=1"}).exit, 0);
  EXPECT_EQ(test::run_cli({"eval", net, data, "--min", "top1=99.9"}).exit, 1);
  EXPECT_EQ(test::run_cli({"eval", net, data, "--metric", "bleu"}).exit, 2);
  EXPECT_EQ(test::run_cli({"eval", net}).exit, 2);
}

}  // namespace
}  // namespace pollard::cli
