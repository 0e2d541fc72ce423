// SPDX-License-Identifier: Apache-2.0
#include "models/model.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/models/support/exported_cases.h"

namespace pollard {
namespace {

namespace fs = std::filesystem;

TEST(Model, IsLoadedByContentNotByExtension) {
  const test::TemporaryFolder folder;
  fs::copy(test::cases_folder() / "syn_glu.pt2", folder.path() / "model.bin");
  const models::Model model = models::load(folder.path() / "model.bin");
  EXPECT_EQ(model.format, "pt2");
  EXPECT_EQ(model.sha256.size(), 64U);
  EXPECT_EQ(model.sample_inputs.size(), 1U);
}

TEST(Model, IsSavedInTheFormatItsExtensionNames) {
  const test::TemporaryFolder folder;
  const models::Model model = models::load(test::cases_folder() / "syn_glu.pt2");
  models::save(model, folder.path() / "m.pt2");
  models::save(model, folder.path() / "m.safetensors");
  EXPECT_EQ(models::load(folder.path() / "m.pt2").weights.size(), model.weights.size());
  EXPECT_EQ(test::error_code([&] { models::save(model, folder.path() / "m.bin"); }), "E0226");
  EXPECT_FALSE(fs::exists(folder.path() / "m.bin"));
}

TEST(Model, IsNeverSavedOverAFileWithoutLeave) {
  const test::TemporaryFolder folder;
  const models::Model model = models::load(test::cases_folder() / "syn_glu.pt2");
  models::save(model, folder.path() / "m.pt2");
  EXPECT_EQ(test::error_code([&] { models::save(model, folder.path() / "m.pt2"); }), "E0224");
  models::save(model, folder.path() / "m.pt2", {.force = true});
}

TEST(Model, MissingAndForeignFilesAreRefused) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(test::error_code([&] { models::load(folder.path() / "none.pt2"); }), "E0302");
  EXPECT_NE(test::error_code([&] { models::load(fs::path(__FILE__)); }), "");
}

}  // namespace
}  // namespace pollard
