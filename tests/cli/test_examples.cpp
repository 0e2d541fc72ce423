// SPDX-License-Identifier: Apache-2.0
// What the help promises: every example runs, and the reference in docs/ is the parser's own.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/app.h"
#include "cli/command_line.h"
#include "models/io/safetensors.h"
#include "tests/cli/support/cases.h"
#include "tests/paths.h"

namespace pollard::cli {
namespace {

using test::case_path;

// A NumPy array [rows, columns] of token ids 0, 1, 2, ...
std::string npy_of_ids(int rows, int columns) {
  const std::string header = "{'descr': '<i8', 'fortran_order': False, 'shape': (" + std::to_string(rows) +
                             ", " + std::to_string(columns) + "), }\n";
  std::string out = std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header;
  for (int k = 0; k < rows * columns; ++k) out += std::string(1, static_cast<char>(k)) + std::string(7, '\0');
  return out;
}

// A folder with the files the examples name.
class Workshop {
 public:
  Workshop() {
    namespace fs = std::filesystem;
    fs::copy_file(case_path("transenc"), folder_ / "model.pt2");
    test::run_cli({"prune", folder_ / "model.pt2", folder_ / "small.pt2", "--ratio", "0.5"});
    test::run_cli({"plan", folder_ / "model.pt2", "--ratio", "0.5", "-o", folder_ / "plan.json"});
    write_samples();
    test::write_text(folder_ / "recipe.toml", "epochs = 2\nlr = 0.001\n");
    test::write_text(folder_ / "spec.json",
                     R"({"hidden_size":64,"num_attention_heads":4,"num_hidden_layers":2})");
    test::write_text(folder_ / "vit.json",
                     R"({"img_size":32,"patch_size":4,"embed_dim":64,"depth":2,"num_heads":1})");
    test::run_cli({"init", "vit", folder_ / "deit.pt2", "--spec", folder_ / "vit.json"});
    test::write_text(folder_ / "ids.npy", npy_of_ids(4, 16));
    fs::create_directories(folder_ / "gpt2");
    const std::string tokenizers =
        test::read_text(pollard::test::data_folder() + "/models/data/tokenizers.json");
    test::write_text(folder_ / "gpt2/tokenizer.json",
                     nlohmann::json::parse(tokenizers).at("gpt2").at("file").dump());
    test::write_text(folder_ / "gpt2.json",
                     R"({"vocab_size":420,"n_positions":64,"n_embd":32,"n_layer":1,"n_head":2})");
    test::run_cli({"init", "gpt2", folder_ / "gpt2/model.safetensors", "--spec", folder_ / "gpt2.json"});
    fs::copy_file(case_path("hf_gpt2"), folder_ / "lm.pt2");
    test::write_text(folder_ / "p.json",
                     R"({"attributes": {"negative": [[3, 4]], "positive": [[7, 8]]},
                         "axes": {"x": {"a": [[10, 11, 12]], "b": [[13, 14]]}}})");
    test::write_text(folder_ / "t.json", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]");
    fs::create_directories(folder_ / "golden");
    for (const char* name : {"bert_tiny.json", "cifar_resnet8_tiny.json"})
      fs::copy_file(pollard::test::data_folder() + "/golden/" + name,
                    folder_ / ("golden/" + std::string(name)));
    for (const char* path :
         {".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"})
      fs::create_directories(folder_ / path);
  }

  // The exit status of a line as a shell runs it; the output it names may exist from an earlier example.
  int run(const std::string& example) const {
    for (const char* output : {"weights.safetensors", "couplings.dot", "model.json", "small.safetensors",
                               "fresh.pt2", "fresh.safetensors", "monarch.pt2", "merged.pt2", "ffn.pt2",
                               "trained.pt2", "sparse.pt2", "tuned.pt2", "lean.pt2"})
      std::filesystem::remove(folder_ / output);
    std::string line = example;
    if (line.starts_with("pollard prune") || line.starts_with("pollard plan") ||
        line.starts_with("pollard fairness"))
      line += " --force";
    const std::string script = "cd '" + (folder_ / "") + "' && export HOME=\"$PWD\" PATH=\"$(dirname '" +
                               pollard::test::program() + "'):$PATH\" && set -o pipefail && " + line +
                               " >/dev/null 2>errors.txt";
    test::write_text(folder_ / "example.sh", script + "\n");
    return std::system(("bash '" + (folder_ / "example.sh") + "'").c_str());
  }
  std::string errors() const { return test::read_text(folder_ / "errors.txt"); }

 private:
  // What the examples of training and judging learn from: token ids and classes for model.pt2.
  void write_samples() const {
    const at::Tensor ids = at::arange(64 * 16, at::kLong).view({64, 16}) * 37 % 1000;
    models::io::save_safetensors(folder_ / "data.safetensors",
                                 {{"x", ids}, {"labels", at::arange(64, at::kLong) % 4}}, {}, false);
  }

  test::ScopedFolder folder_;
};

TEST(Examples, AllOfThemRun) {
  ASSERT_NE(pollard::test::program(), "");
  const Workshop workshop;
  CommandLine line;
  add_commands(line);
  for (const CLI::App* app : line.root().get_subcommands({}))
    for (const std::string& example : line.info(*app).examples)
      EXPECT_EQ(workshop.run(example), 0) << example << "\n" << workshop.errors();
  for (const std::string& example : line.info(line.root()).examples)
    EXPECT_EQ(workshop.run(example), 0) << example << "\n" << workshop.errors();
}

TEST(Examples, EveryCommandHasThree) {
  CommandLine line;
  add_commands(line);
  for (const CLI::App* app : line.root().get_subcommands({}))
    if (!app->get_group().empty()) EXPECT_EQ(line.info(*app).examples.size(), 3U) << app->get_name();
}

TEST(Reference, DocsAreTheParsersOwn) {
  EXPECT_EQ(test::read_text(pollard::test::source_folder() + "/docs/cli.md"),
            test::run_cli({"help-reference"}).out)
      << "write it again: pollard help-reference > docs/cli.md";
}

TEST(Reference, DocsOfOpsAreTheTables) {
  EXPECT_EQ(test::read_text(pollard::test::source_folder() + "/docs/ops.md"),
            test::run_cli({"op-reference"}).out)
      << "write it again: pollard op-reference > docs/ops.md";
}

TEST(Interrupt, CtrlCEndsWith130AndLeavesNoFile) {
  const test::ScopedFolder folder;
  const std::string bench =
      pollard::test::program() + " bench " + case_path("transenc") + " --repeat 1000000";
  test::write_text(folder / "run.sh", bench + " >/dev/null 2>'" + (folder / "err") +
                                          "' & pid=$!; sleep 3; kill -INT $pid; wait $pid; echo $?\n");
  EXPECT_EQ(test::shell("bash -m '" + (folder / "run.sh") + "' 2>/dev/null"), "130\n")
      << test::read_text(folder / "err");
  EXPECT_NE(test::read_text(folder / "err").find("E0509"), std::string::npos);
}

TEST(Parity, GoldensOfBuiltInNetworksMatch) {
  const std::string golden = pollard::test::data_folder() + "/golden/bert_tiny.json";
  const auto report = test::run_json({"parity", golden});
  EXPECT_EQ(report["passed"], 1);
  EXPECT_EQ(report["results"][0]["verdict"], "ok");
  EXPECT_EQ(test::run_cli({"parity", golden, "--tol", "1e-30"}).exit, 1) << "a miss is a failed gate";
}

}  // namespace
}  // namespace pollard::cli
