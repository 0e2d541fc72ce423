// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "models/io/json.h"
#include "models/io/safetensors.h"
#include "tests/bad_files/builders.h"
#include "tests/bad_files/expect_error.h"
#include "tests/bad_files/temp_folder.h"

namespace pollard::models::io {
namespace {

using bad_files::expect_error;
using bad_files::TempFolder;

std::shared_ptr<const ByteSource> in_memory(const std::string& bytes) {
  const auto span = std::as_bytes(std::span(bytes));
  return memory_source({span.begin(), span.end()}, "m.safetensors");
}

std::string saved(const TensorMap& tensors, const TextMap& metadata = {}) {
  const TempFolder folder;
  save_safetensors(folder / "m", tensors, metadata, false);
  return TempFolder::read(folder / "m");
}

TEST(Safetensors, RoundTripKeepsEveryElementType) {
  TensorMap tensors;
  for (const at::ScalarType type :
       {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kUInt16, at::kUInt32,
        at::kUInt64, at::kHalf, at::kBFloat16, at::kFloat, at::kDouble, at::kComplexFloat, at::kFloat8_e4m3fn,
        at::kFloat8_e5m2})
    tensors[std::string("t.") + c10::toString(type)] = at::arange(6, at::kFloat).reshape({2, 3}).to(type);
  const TensorMap read = SafetensorsReader(in_memory(saved(tensors))).read_all();
  ASSERT_EQ(read.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(read.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(std::memcmp(read.at(name).data_ptr(), tensor.data_ptr(), tensor.nbytes()), 0) << name;
  }
}

TEST(Safetensors, RoundTripKeepsScalarsEmptyTensorsAndMetadata) {
  const TensorMap tensors{
      {"scalar", at::ones({})}, {"empty", at::empty({0, 5})}, {"\xC3\xBC", at::ones({1})}};
  const TextMap metadata{{"pollard.plan", "{\"a\": \"\\n\"}"}, {"k", "\xE2\x82\xAC"}};
  const SafetensorsReader reader(in_memory(saved(tensors, metadata)));
  EXPECT_EQ(reader.metadata(), metadata);
  const TensorMap read = reader.read_all();
  EXPECT_EQ(read.at("scalar").dim(), 0);
  EXPECT_EQ(read.at("empty").sizes(), at::IntArrayRef({0, 5}));
  EXPECT_TRUE(read.contains("\xC3\xBC"));
}

TEST(Safetensors, NonContiguousTensorsAreWrittenInOrder) {
  const at::Tensor tensor = at::arange(12, at::kFloat).reshape({3, 4}).t();
  EXPECT_TRUE(at::equal(SafetensorsReader(in_memory(saved({{"w", tensor}}))).read_all().at("w"), tensor));
}

TEST(Safetensors, FileIsDeterministicAlignedAndOfTheSizeForetold) {
  const TensorMap tensors{
      {"b", at::ones({3}, at::kByte)}, {"a", at::ones({5}, at::kDouble)}, {"c", at::ones({1})}};
  const std::string bytes = saved(tensors, {{"k", "v"}});
  EXPECT_EQ(bytes, saved(tensors, {{"k", "v"}}));
  EXPECT_EQ(bytes.size(), safetensors_size(tensors, {{"k", "v"}}));
  const SafetensorsReader reader(in_memory(bytes));
  ASSERT_EQ(reader.tensors().size(), 3U);
  EXPECT_EQ(reader.tensors()[0].name, "a");  // widest first
  EXPECT_EQ(reader.tensors()[0].offset % 8, 0U);
  EXPECT_EQ(reader.tensors()[2].name, "b");
}

TEST(Safetensors, DescriptionNeedsNoData) {
  const SafetensorsReader reader(in_memory(saved({{"w", at::zeros({2, 3}, at::kHalf)}})));
  const TensorInfo& info = reader.tensors().at(0);
  EXPECT_EQ(info.name, "w");
  EXPECT_EQ(info.dtype, graph::DType::Float16);
  EXPECT_EQ(info.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(info.bytes, 12U);
}

TEST(Safetensors, LenientIgnoresUnknownFieldsOfAnyForm) {
  for (const char* extra :
       {"1", "\"x\"", "null", "[1,[2,{\"dtype\":\"F32\"}]]", "{\"shape\":[1]}", "-1.5", "true"}) {
    const std::string header =
        std::string(R"({"a":{"extra":)") + extra + R"(,"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
    const std::string bytes = bad_files::safetensors(header, "xy");
    EXPECT_EQ(SafetensorsReader(in_memory(bytes), true).tensors().size(), 1U) << extra;
    expect_error("E0312", Exit::BadFile, {"unknown field"},
                 [&] { SafetensorsReader reader(in_memory(bytes)); });
  }
}

TEST(Safetensors, LenientStillCapsNesting) {
  const std::string bytes = bad_files::safetensors(R"({"a":{"x":)" + std::string(100'000, '['));
  expect_error("E0311", Exit::BadFile, {"nested deeper than 8"},
               [&] { SafetensorsReader reader(in_memory(bytes), true); });
}

TEST(Safetensors, TypesTheFormatLacksAreRefusedBeforeAFileAppears) {
  const TempFolder folder;
  expect_error("E0421", Exit::Unsupported, {"c128", "\"w\""}, [&] {
    save_safetensors(folder / "m", {{"w", at::ones({2}, at::kComplexDouble)}}, {}, false);
  });
  EXPECT_TRUE(folder.names().empty());
}

TEST(Safetensors, NamesTheFormatForbidsAreRefused) {
  for (const std::string& name :
       {std::string(), std::string("a\nb"), std::string("__metadata__"), std::string("\xff")})
    expect_error("E0315", Exit::BadFile, {"may not hold"}, [&] { saved({{name, at::ones({1})}}); });
}

TEST(Json, RefusesWhatParsersDisagreeAbout) {
  for (const char* text :
       {"{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1,\"b\":1}}", "\xEF\xBB\xBF{}", "{\"a\":\"\xff\"}", "{} x", ""})
    expect_error("E0326", Exit::BadFile, {"plan.json", "byte offset"},
                 [&] { parse_json(text, "plan.json"); });
  expect_error("E0326", Exit::BadFile, {"NUL"},
               [&] { parse_json(std::string_view("{}\0", 3), "plan.json"); });
  expect_error("E0326", Exit::BadFile, {"deeper than 64"},
               [&] { parse_json(std::string(100'000, '['), "plan.json"); });
  EXPECT_EQ(parse_json(R"({"a":[{"a":1},{"a":2}]})", "plan.json")["a"][1]["a"], 2);
}

}  // namespace
}  // namespace pollard::models::io
