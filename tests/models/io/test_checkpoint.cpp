// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/io/bytes.h"
#include "models/io/checkpoint.h"
#include "models/io/numerics.h"
#include "models/io/safetensors.h"
#include "models/io/tensor_memory.h"
#include "models/io/torch_archive.h"
#include "tests/bad_files/builders.h"
#include "tests/bad_files/expect_error.h"
#include "tests/bad_files/temp_folder.h"

namespace pollard::models::io {
namespace {

using bad_files::add_tensor;
using bad_files::expect_error;
using bad_files::floats;
using bad_files::Pickle;
using bad_files::RawTensor;
using bad_files::state_dict;
using bad_files::TempFolder;
using bad_files::torch_zip;

std::shared_ptr<const ByteSource> in_memory(const std::string& bytes) {
  const auto span = as_bytes(bytes);
  return memory_source({span.begin(), span.end()}, "m.pt");
}

Checkpoint read(const std::string& pickle, const std::string& key = "") {
  return read_checkpoint(in_memory(torch_zip(pickle, {{"0", floats(6)}}).bytes()), {.key = key});
}

/// {name: {"w": tensor}, ...}
std::string nested(const std::vector<std::string>& names) {
  Pickle pickle;
  pickle.raw("}(");
  for (const std::string& name : names) {
    pickle.text(name).raw("}").text("w");
    add_tensor(pickle, {});
    pickle.raw("s");
  }
  return pickle.raw("u.").bytes();
}

std::vector<std::string> names_of(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : checkpoint.tensors) names.push_back(name);
  return names;
}

TEST(Checkpoint, TorchTensorsHaveTheirValuesAndViews) {
  const auto tensors =
      read(state_dict({{}, {.name = "view", .offset = 1, .shape = {2, 2}, .stride = {1, 2}}})).tensors;
  const at::Tensor whole = at::arange(6, at::kFloat).reshape({2, 3});
  EXPECT_TRUE(at::equal(tensors.at("weight"), whole));
  EXPECT_TRUE(at::equal(tensors.at("view"), whole.flatten().as_strided({2, 2}, {1, 2}, 1)));
}

TEST(Checkpoint, TiedWeightsStayOneTensor) {
  const auto tensors = read(state_dict({{}, {.name = "tied"}})).tensors;
  EXPECT_EQ(tensors.at("weight").data_ptr(), tensors.at("tied").data_ptr());
}

TEST(Checkpoint, BigEndianFilesAreTurnedAround) {
  auto zip = torch_zip(state_dict({{}}), {{"0", floats(6)}});
  zip.entries[1].data = "big";
  std::string& data = zip.entries[2].data;
  for (std::size_t at = 0; at < data.size(); at += 4)
    std::reverse(data.begin() + static_cast<long>(at), data.begin() + static_cast<long>(at) + 4);
  EXPECT_TRUE(at::equal(read_checkpoint(in_memory(zip.bytes())).tensors.at("weight"),
                        at::arange(6, at::kFloat).reshape({2, 3})));
}

TEST(Checkpoint, UsualKeysAreFoundWithoutBeingNamed) {
  for (const char* key : {"state_dict", "model", "model_state_dict", "net"}) {
    const Checkpoint checkpoint = read(nested({"optimizer", key}));
    EXPECT_EQ(names_of(checkpoint), std::vector<std::string>{"w"});
    EXPECT_EQ(checkpoint.ignored, std::vector<std::string>{"optimizer"});
  }
}

TEST(Checkpoint, TheOnlyStateDictIsFoundUnderAnyKey) {
  EXPECT_EQ(names_of(read(nested({"my_own_name"}))), std::vector<std::string>{"w"});
}

TEST(Checkpoint, AStrayTensorBesideTheWeightsIsNotTheWeights) {
  Pickle pickle;
  pickle.raw("}(").text("rng_state");
  add_tensor(pickle, {});
  pickle.text("model").raw("}").text("w");
  add_tensor(pickle, {});
  EXPECT_EQ(names_of(read(pickle.raw("su.").bytes())), std::vector<std::string>{"w"});
}

TEST(Checkpoint, SeveralStateDictsAskForAKey) {
  expect_error("E0337", Exit::Usage, {"--key teacher or --key student"}, [] {
    read(nested({"teacher", "student"}));
  });
  EXPECT_EQ(names_of(read(nested({"teacher", "student"}), "student")), std::vector<std::string>{"w"});
}

TEST(Checkpoint, KeysMayBePathsAndMayHoldDots) {
  Pickle pickle;
  pickle.raw("}").text("ema.v2").raw("}").text("model").raw("}").text("w");
  add_tensor(pickle, {});
  EXPECT_EQ(names_of(read(pickle.raw("sss.").bytes(), "ema.v2.model")), std::vector<std::string>{"w"});
}

TEST(Checkpoint, AWrongKeyListsTheRightOnes) {
  expect_error("E0337", Exit::Usage, {"--key \"modle\" does not exist", "model"},
               [] { read(nested({"model"}), "modle"); });
}

TEST(Checkpoint, ForeignObjectsOutsideTheWeightsAreIgnoredAndListed) {
  Pickle pickle;
  pickle.raw("}(")
      .text("evil")
      .global("os", "system")
      .text("true")
      .raw("\x85R")
      .text("model")
      .raw("}")
      .text("w");
  add_tensor(pickle, {});
  const Checkpoint checkpoint = read(pickle.raw("su.").bytes());
  EXPECT_EQ(names_of(checkpoint), std::vector<std::string>{"w"});
  EXPECT_EQ(checkpoint.ignored, (std::vector<std::string>{"evil", "os.system (never called)"}));
}

TEST(Checkpoint, NumbersAmongTheWeightsAreIgnoredAndListed) {
  Pickle pickle;
  pickle.raw("}(").text("epoch").raw("K\x07").text("w");
  add_tensor(pickle, {});
  EXPECT_EQ(read(pickle.raw("u.").bytes()).ignored, std::vector<std::string>{"epoch"});
}

TEST(Checkpoint, DescriptionGivesNamesShapesAndTypesWithoutData) {
  const TempFolder folder;
  auto zip = torch_zip(state_dict({{}}), {{"0", floats(6)}});
  zip.entries[2].crc = 0;  // damaged data does not show here
  const CheckpointInfo info = describe_checkpoint(folder.write("m.pt", zip.bytes()));
  EXPECT_EQ(info.format, "pytorch zip");
  ASSERT_EQ(info.tensors.size(), 1U);
  EXPECT_EQ(info.tensors[0].name, "weight");
  EXPECT_EQ(info.tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(info.tensors[0].bytes, 24U);
}

TEST(Checkpoint, Sha256IsThatOfTheFile) {
  const std::string bytes = torch_zip(state_dict({{}}), {{"0", floats(6)}}).bytes();
  EXPECT_EQ(read_checkpoint(in_memory(bytes)).sha256, sha256(as_bytes(bytes)));
  EXPECT_EQ(read_checkpoint(in_memory(bytes), {.hash = false}).sha256, "");
}

class ShardFolder {
 public:
  ShardFolder() {
    save_safetensors(folder_ / "model-00001-of-00002.safetensors", {{"a", at::ones({2})}}, {{"format", "pt"}},
                     false);
    save_safetensors(folder_ / "model-00002-of-00002.safetensors", {{"b", at::ones({3})}}, {}, false);
    index(R"("a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors")");
  }
  void index(const std::string& map) {
    folder_.write(kIndex, "{\"metadata\":{},\"weight_map\":{" + map + "}}");
  }
  const std::filesystem::path& path() const { return folder_.path(); }
  std::filesystem::path index_path() const { return folder_ / kIndex; }

 private:
  static constexpr const char* kIndex = "model.safetensors.index.json";
  TempFolder folder_;
};

TEST(Shards, AreReadThroughTheIndexOrTheFolder) {
  const ShardFolder shards;
  for (const auto& path : {shards.path(), shards.index_path()}) {
    const Checkpoint checkpoint = read_checkpoint(path);
    EXPECT_EQ(names_of(checkpoint), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(checkpoint.format, "safetensors shards");
    EXPECT_EQ(checkpoint.metadata.at("format"), "pt");
    EXPECT_EQ(describe_checkpoint(path).tensors.size(), 2U);
  }
}

TEST(Shards, NamesThatLeaveTheFolderAreNeverOpened) {
  for (const char* name :
       {"../../etc/passwd", "/etc/passwd", "a/b.safetensors", "..", "", "x.safetensors\\n", "model.bin"}) {
    ShardFolder shards;
    shards.index(std::string("\"a\":\"") + name + "\"");
    expect_error("E0340", Exit::BadFile, {"not the name of a safetensors file"},
                 [&] { read_checkpoint(shards.path()); });
  }
}

TEST(Shards, ThatDisagreeWithTheIndexAreRefused) {
  ShardFolder shards;
  shards.index(R"("a":"model-00001-of-00002.safetensors")");
  EXPECT_EQ(names_of(read_checkpoint(shards.path())), std::vector<std::string>{"a"});
  shards.index(R"("a":"model-00001-of-00002.safetensors","c":"model-00001-of-00002.safetensors")");
  expect_error("E0340", Exit::BadFile, {"\"c\"", "missing"}, [&] { read_checkpoint(shards.path()); });
  shards.index(R"("b":"model-00001-of-00002.safetensors")");
  expect_error("E0340", Exit::BadFile, {"\"a\"", "does not say so"}, [&] { read_checkpoint(shards.path()); });
  shards.index(R"("a":"model-00003-of-00002.safetensors")");
  expect_error("E0302", Exit::BadFile, {"no such file"}, [&] { read_checkpoint(shards.path()); });
  shards.index(R"("a":1)");
  expect_error("E0340", Exit::BadFile, {"\"a\""}, [&] { read_checkpoint(shards.path()); });
}

TEST(TorchArchive, SampleInputsAreATreeOfTensorsAndNumbers) {
  Pickle pickle;
  add_tensor(pickle, {});
  pickle.raw("K\x05G")
      .raw(std::string_view("\x3f\xe0\0\0\0\0\0\0", 8))
      .raw("\x87}")
      .text("mask")
      .raw("\x88s\x86.");
  const TorchArchive archive(in_memory(torch_zip(pickle.bytes(), {{"0", floats(6)}}).bytes()));
  const pickle::Tree& tree = archive.tree();
  const auto parts = tree.items(tree.root());
  ASSERT_EQ(parts.size(), 2U);
  const auto args = tree.items(parts[0]);
  ASSERT_EQ(args.size(), 3U);
  EXPECT_EQ(archive.read(tree.tensor(args[0]), "input 0").sizes(), at::IntArrayRef({2, 3}));
  EXPECT_EQ(tree.as_int(args[1]), 5);
  EXPECT_EQ(tree.as_float(args[2]), 0.5);
  EXPECT_TRUE(tree.as_bool(*tree.find(parts[1], "mask")));
}

TEST(Pickle, IntegersKeepTheirSign) {
  const auto value = [](std::string_view opcodes) {
    const std::string bytes = "\x80\x02" + std::string(opcodes) + ".";
    const auto span = as_bytes(bytes);
    const pickle::Tree tree = pickle::parse({span.begin(), span.end()}, "m", "e");
    return tree.as_int(tree.root());
  };
  EXPECT_EQ(value(std::string_view("\x8a\0", 2)), 0);
  EXPECT_EQ(value("\x8a\x01\xff"), -1);
  EXPECT_EQ(value(std::string_view("\x8a\x06\0\0\0\0\0\x01", 8)), std::int64_t{1} << 40);
  EXPECT_EQ(value("J\xff\xff\xff\xff"), -1);
  EXPECT_EQ(value("M\xff\xff"), 65535);
}

TEST(Booleans, OtherThanZeroAndOneAreRefused) {
  const std::string header = R"({"mask":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})";
  const auto safetensors = in_memory(bad_files::safetensors(header, std::string_view("\0\1\7", 3)));
  expect_error("E0351", Exit::BadFile, {"\"mask\"", "byte 7", "element 2"},
               [&] { read_checkpoint(safetensors); });
  const RawTensor mask{.storage_type = "BoolStorage", .storage_elements = 2, .shape = {2}, .stride = {1}};
  const auto zip = in_memory(torch_zip(state_dict({mask}), {{"0", "\x01\x02"}}).bytes());
  expect_error("E0351", Exit::BadFile, {"data/0", "byte 2"}, [&] { read_checkpoint(zip); });
}

TEST(Memory, ThatDoesNotExistIsAnEnvironmentError) {
  expect_error("E0504", Exit::Environment, {"256.0 TiB"}, [] {
    new_tensor({std::int64_t{1} << 40, 64}, graph::DType::Float32);
  });
}

TEST(Numerics, NonFiniteValuesAreCountedInEveryFloatingType) {
  const float infinite = std::numeric_limits<float>::infinity();
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16, at::kFloat, at::kDouble, at::kFloat8_e5m2}) {
    at::Tensor tensor = at::full({2, 3}, 1.5, at::kFloat);
    tensor[1][0] = std::nanf("");
    tensor[1][2] = -infinite;
    const NonFinite found = count_nonfinite(tensor.to(type));
    EXPECT_EQ(found.nan, 1) << type;
    EXPECT_EQ(found.infinite, 1) << type;
    expect_error("E0350", Exit::BadFile, {"1 NaN and 1 infinite", "[1, 0]"},
                 [&] { check_numerics("w", tensor.to(type)); });
  }
  EXPECT_FALSE(count_nonfinite(at::full({4}, 448.0, at::kFloat).to(at::kFloat8_e4m3fn)).any());
  EXPECT_EQ(count_nonfinite(at::full({4}, std::nanf(""), at::kFloat).to(at::kFloat8_e4m3fn)).nan, 4);
  EXPECT_FALSE(count_nonfinite(at::full({4}, std::numeric_limits<float>::max(), at::kFloat)).any());
  EXPECT_FALSE(count_nonfinite(at::full({4}, -1, at::kLong)).any());
}

}  // namespace
}  // namespace pollard::models::io
