// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "models/io/atomic_file.h"
#include "models/io/checkpoint.h"
#include "models/io/safetensors.h"
#include "models/io/zip_writer.h"
#include "tests/bad_files/temp_folder.h"
#include "tests/paths.h"

namespace pollard::models::io {
namespace {

using bad_files::TempFolder;

/// Runs a script of this folder; true when it succeeds.
bool python(const std::string& script, const std::string& argument) {
  const std::string command =
      test::python() + " '" + test::data_folder() + "/models/io/" + script + "' '" + argument + "'";
  return std::system(command.c_str()) == 0;
}

class AgainstPython : public testing::Test {
 protected:
  void SetUp() override {
    if (test::python().empty()) GTEST_SKIP() << "no Python with torch and safetensors was configured";
  }
  TempFolder folder_;
};

bool same(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor left = a.contiguous();
  const at::Tensor right = b.contiguous();
  return left.scalar_type() == right.scalar_type() && left.sizes() == right.sizes() &&
         std::memcmp(left.data_ptr(), right.data_ptr(), left.nbytes()) == 0;
}

TEST_F(AgainstPython, FilesOfTorchAndOfSafetensorsReadTheSame) {
  ASSERT_TRUE(python("write_torch_files.py", folder_.path().string()));
  for (const char* name : {"every_type", "state dict", "parameters", "training", "one number"}) {
    const auto from_torch = read_checkpoint(folder_ / (std::string(name) + ".pt")).tensors;
    const auto reference = read_checkpoint(folder_ / (std::string(name) + ".safetensors")).tensors;
    EXPECT_EQ(from_torch.size(), reference.size()) << name;
    for (const auto& [key, tensor] : reference) {
      ASSERT_TRUE(from_torch.contains(key)) << name << " " << key;
      EXPECT_TRUE(same(from_torch.at(key), tensor)) << name << " " << key;
    }
  }
}

TEST_F(AgainstPython, OurSafetensorsHaveTheReferencesBytes) {
  ASSERT_TRUE(python("write_torch_files.py", folder_.path().string()));
  for (const char* name : {"every_type", "state dict", "one number"}) {
    const auto path = folder_ / (std::string(name) + ".safetensors");
    const Checkpoint checkpoint = read_checkpoint(path);
    save_safetensors(folder_ / "ours", checkpoint.tensors, checkpoint.metadata, true);
    EXPECT_EQ(TempFolder::read(folder_ / "ours"), TempFolder::read(path)) << name;
  }
}

TEST_F(AgainstPython, OurZipsOpenInPythonAndInTorch) {
  AtomicFile file(folder_ / "ours.pt2");
  ZipWriter writer(file, "ours");
  writer.add("version", std::string_view("3\n"));
  for (int i = 0; i < 50; ++i)
    writer.add("data/weights/weight_" + std::to_string(i),
               std::string(static_cast<std::size_t>(i * 37), 'w'));
  writer.finish();
  file.commit();
  EXPECT_TRUE(python("read_zip.py", (folder_ / "ours.pt2").string()));
}

}  // namespace
}  // namespace pollard::models::io
