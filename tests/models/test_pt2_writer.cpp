// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "models/io/pt2_reader.h"
#include "models/io/pt2_writer.h"
#include "tests/models/support/exported_cases.h"
#include "tests/paths.h"

namespace pollard {
namespace {

namespace fs = std::filesystem;

void rewrite_all(const fs::path& from, const fs::path& to) {
  for (const std::string& name : test::case_names(from))
    if (!name.starts_with("refused_"))
      models::io::save_pt2(test::read_case(from / (name + ".pt2")), to / (name + ".pt2"), false);
}

TEST(Pt2Writer, GivesBackTheProgramItWasGiven) {
  const test::TemporaryFolder folder;
  for (const fs::path& from : {test::cases_folder(), test::export_forms_folder()}) {
    const fs::path to = folder.path() / from.filename();
    fs::create_directory(to);
    rewrite_all(from, to);
    for (const std::string& name : test::case_names(to)) {
      const models::Model before = test::read_case(from / (name + ".pt2")),
                          after = test::read_case(to / (name + ".pt2"));
      EXPECT_EQ(graph::to_string(before.program), graph::to_string(after.program)) << name;
      EXPECT_EQ(before.sample_inputs.size(), after.sample_inputs.size()) << name;
      ASSERT_EQ(before.weights.size(), after.weights.size()) << name;
      for (const auto& [weight, tensor] : before.weights)
        EXPECT_TRUE(at::equal(tensor, after.weights.at(weight))) << weight;
    }
  }
}

TEST(Pt2Writer, WritesTheSameBytesEveryTime) {
  const test::TemporaryFolder folder;
  const models::Model model = test::read_case(test::cases_folder() / "syn_glu.pt2");
  models::io::save_pt2(model, folder.path() / "a.pt2", false);
  fs::create_directory(folder.path() / "again");
  models::io::save_pt2(model, folder.path() / "again" / "a.pt2", false);
  EXPECT_EQ(models::io::read_file(folder.path() / "a.pt2"),
            models::io::read_file(folder.path() / "again" / "a.pt2"));
}

TEST(Pt2Writer, CarriesMetadataInTheFile) {
  const test::TemporaryFolder folder;
  models::Model model = test::read_case(test::cases_folder() / "syn_glu.pt2");
  model.metadata["pollard.plan"] = R"({"schema":"pollard.plan/1"})";
  models::io::save_pt2(model, folder.path() / "m.pt2", false);
  EXPECT_EQ(test::read_case(folder.path() / "m.pt2").metadata.at("pollard.plan"),
            model.metadata.at("pollard.plan"));
}

TEST(Pt2Writer, StoresATiedWeightOnce) {
  const test::TemporaryFolder folder;
  models::io::save_pt2(test::read_case(test::cases_folder() / "hf_gpt2.pt2"), folder.path() / "m.pt2", false);
  const models::io::ZipReader zip(folder.path() / "m.pt2");
  const auto records = std::count_if(zip.entries().begin(), zip.entries().end(), [](const auto& entry) {
    return entry.name.starts_with("data/weights/weight_");
  });
  EXPECT_EQ(records, 28);
}

/// A network that never was a file: y = linear(x), with a symbolic batch.
models::Model handmade() {
  using graph::Input;
  graph::Program program;
  const auto tensor = [&](std::string name, std::vector<graph::Size> shape) {
    return program.add({.name = std::move(name), .dtype = graph::DType::Float32, .shape = std::move(shape)});
  };
  const graph::ValueId weight = tensor("weight", {{3, ""}, {4, ""}}), x = tensor("x", {{2, "n"}, {4, ""}});
  const graph::ValueId y = tensor("y", {{2, "n"}, {3, ""}}), s = tensor("s", {{2, "n"}, {1, ""}});
  program.inputs = {{.value = weight, .kind = Input::Kind::Parameter, .source = "layer.weight"},
                    {.value = x}};
  graph::Op linear{.target = "aten.linear.default",
                   .args = {{"input", x}, {"weight", weight}},
                   .outputs = {y},
                   .name = "y",
                   .module = "layer"};
  graph::Op sum{.target = "aten.sum.dim_IntList", .outputs = {s}, .name = "s"};
  sum.args = {{"self", y}, {"dim", graph::Arg::List{std::int64_t{1}}}, {"keepdim", true}};
  program.ops = {linear, sum};
  program.outputs = {{.value = y}, {.value = s}};
  program.symbols = {{.name = "n", .min = 1, .max = 16}};
  models::Model model{.program = std::move(program)};
  model.weights["layer.weight"] = at::randn({3, 4});
  model.sample_inputs = {at::randn({2, 4})};
  return model;
}

TEST(Pt2Writer, WritesProgramsThatNeverWereAFile) {
  const test::TemporaryFolder folder;
  const models::Model before = handmade();
  models::io::save_pt2(before, folder.path() / "m.pt2", false);
  const models::Model after = test::read_case(folder.path() / "m.pt2");
  EXPECT_EQ(graph::to_string(before.program), graph::to_string(after.program));
  EXPECT_EQ(after.program.symbols.at(0).max, 16);
  ASSERT_EQ(after.sample_inputs.size(), 1U);
  EXPECT_TRUE(at::equal(after.sample_inputs[0], before.sample_inputs[0]));
}

int python(const std::string& script, const std::string& arguments) {
  const std::string command =
      "'" + test::python() + "' -W ignore '" + test::data_folder() + "/oracle/" + script + "' " + arguments;
  return std::system(command.c_str());
}

TEST(Pt2Writer, PyTorchSeesNoDifferenceInARewrittenFile) {
  if (test::python().empty()) GTEST_SKIP() << "no Python with torch was found when this was configured";
  for (const fs::path& from : {test::cases_folder(), test::export_forms_folder()}) {
    const test::TemporaryFolder folder;
    rewrite_all(from, folder.path());
    EXPECT_EQ(python("check_roundtrip.py", "'" + from.string() + "' '" + folder.path().string() + "'"), 0);
  }
}

TEST(Pt2Writer, PyTorchOpensAProgramThatNeverWasAFile) {
  if (test::python().empty()) GTEST_SKIP() << "no Python with torch was found when this was configured";
  const test::TemporaryFolder folder;
  models::io::save_pt2(handmade(), folder.path() / "m.pt2", false);
  EXPECT_EQ(python("check_roundtrip.py", "'" + folder.path().string() + "' '" + folder.path().string() + "'"),
            0);
}

}  // namespace
}  // namespace pollard
