// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "graph/error.h"
#include "models/io/atomic_file.h"
#include "models/io/bytes.h"
#include "models/io/json.h"
#include "models/io/pt2_reader.h"
#include "models/io/zip_writer.h"
#include "tests/models/support/exported_cases.h"

namespace pollard {
namespace {

namespace io = models::io;
using io::Json;
using Entries = std::map<std::string, std::string>;

constexpr const char* kGraph = "models/model.json";
constexpr const char* kConfig = "data/weights/model_weights_config.json";

Entries entries_of(const std::filesystem::path& path) {
  const io::ZipReader zip(path);
  Entries entries;
  for (const io::ZipEntry& entry : zip.entries()) entries[entry.name] = zip.read_text(entry);
  return entries;
}

void write(const Entries& entries, const std::filesystem::path& path) {
  io::AtomicFile file(path, {.force = true});
  io::ZipWriter zip(file, "m");
  for (const auto& [name, data] : entries) zip.add(name, std::string_view(data));
  zip.finish();
  file.commit();
}

/// syn_embbag with some entries changed, read; what the reader says about it.
class Damaged {
 public:
  Damaged() : entries_(entries_of(test::cases_folder() / "syn_two_out.pt2")) {}

  Damaged& text(const std::string& entry, const std::function<void(std::string&)>& change) {
    change(entries_.at(entry));
    return *this;
  }
  Damaged& json(const std::string& entry, const std::function<void(Json&)>& change) {
    Json tree = io::parse_json(entries_.at(entry), entry);
    change(tree);
    entries_[entry] = tree.dump();
    return *this;
  }
  Damaged& remove(const std::string& entry) {
    entries_.erase(entry);
    return *this;
  }

  std::string code() const {
    write(entries_, folder_.path() / "m.pt2");
    return test::error_code([&] { test::read_case(folder_.path() / "m.pt2"); });
  }
  models::Model model() const {
    write(entries_, folder_.path() / "m.pt2");
    return test::read_case(folder_.path() / "m.pt2");
  }

 private:
  test::TemporaryFolder folder_;
  Entries entries_;
};

Json& graph_of(Json& tree) { return tree["graph_module"]["graph"]; }
Json& first_weight(Json& tree) { return tree["config"].begin().value()["tensor_meta"]; }

TEST(Pt2BadFiles, TheUndamagedFileIsAccepted) { EXPECT_EQ(Damaged().code(), ""); }

TEST(Pt2BadFiles, RefusesJsonThatIsBroken) {
  EXPECT_EQ(Damaged().text(kGraph, [](auto& t) { t.resize(t.size() / 2); }).code(), "E0326");
  EXPECT_EQ(Damaged().text(kGraph, [](auto& t) { t = "[]"; }).code(), "E0360");
  EXPECT_EQ(Damaged().text(kGraph, [](auto& t) { t = std::string(1'000'000, '['); }).code(), "E0326");
  EXPECT_EQ(Damaged().text(kGraph, [](auto& t) { t.insert(1, R"("verifiers":[],)"); }).code(), "E0326");
  EXPECT_EQ(Damaged().text(kConfig, [](auto& t) { t = "{\"config\": 3}"; }).code(), "E0360");
}

TEST(Pt2BadFiles, RefusesSizesThatAreNotSizes) {
  for (const Json& size : {Json(-1), Json(1LL << 41), Json(2.5), Json("8"), Json(18446744073709551615ULL)})
    EXPECT_EQ(Damaged().json(kConfig, [&](Json& t) { first_weight(t)["sizes"][0]["as_int"] = size; }).code(),
              "E0360")
        << size;
  const auto rank_17 = [](Json& t) {
    first_weight(t)["sizes"] = Json::array();
    for (int i = 0; i < 17; ++i) first_weight(t)["sizes"].push_back({{"as_int", 1}});
  };
  EXPECT_EQ(Damaged().json(kConfig, rank_17).code(), "E0360");
  const auto overflow = [](Json& t) {
    for (const char* key : {"sizes", "strides"})
      first_weight(t)[key] = {{{"as_int", 1LL << 39}}, {{"as_int", 1LL << 39}}};
  };
  EXPECT_EQ(Damaged().json(kConfig, overflow).code(), "E0360");
}

TEST(Pt2BadFiles, RefusesWeightsThatDisagreeWithTheGraph) {
  EXPECT_EQ(Damaged().json(kConfig, [](Json& t) { first_weight(t)["dtype"] = 8; }).code(), "E0361");
  EXPECT_EQ(Damaged().json(kConfig, [](Json& t) { first_weight(t)["dtype"] = 77; }).code(), "E0360");
  EXPECT_EQ(Damaged().json(kConfig, [](Json& t) { first_weight(t)["sizes"][0]["as_int"] = 1; }).code(),
            "E0361");
  EXPECT_EQ(Damaged().json(kConfig, [](Json& t) { first_weight(t)["storage_offset"]["as_int"] = 1; }).code(),
            "E0361");
  EXPECT_EQ(
      Damaged().json(kConfig, [](Json& t) { first_weight(t)["strides"][0]["as_int"] = 1LL << 40; }).code(),
      "E0361");
}

TEST(Pt2BadFiles, RefusesRecordsOfTheWrongLength) {
  EXPECT_EQ(Damaged().text("data/weights/weight_0", [](auto& t) { t.pop_back(); }).code(), "E0361");
  EXPECT_EQ(Damaged().text("data/weights/weight_0", [](auto& t) { t.resize(t.size() - 4); }).code(), "E0361");
  EXPECT_EQ(Damaged().text("data/weights/weight_0", [](auto& t) { t.clear(); }).code(), "E0361");
}

TEST(Pt2BadFiles, RefusesMissingParts) {
  EXPECT_EQ(Damaged().remove("data/weights/weight_0").code(), "E0362");
  EXPECT_EQ(Damaged().remove(kConfig).code(), "E0324");
  EXPECT_EQ(Damaged().remove(kGraph).code(), "E0360");
  EXPECT_EQ(Damaged().json(kConfig, [](Json& t) { t["config"].erase(t["config"].begin()); }).code(), "E0362");
  EXPECT_EQ(Damaged().json(kGraph, [](Json& t) { graph_of(t).erase("nodes"); }).code(), "E0360");
}

TEST(Pt2BadFiles, RefusesPicklesAmongTheWeights) {
  EXPECT_EQ(Damaged().json(kConfig, [](Json& t) { t["config"].begin().value()["use_pickle"] = true; }).code(),
            "E0411");
}

TEST(Pt2BadFiles, RefusesValuesUsedBeforeTheyExistOrDefinedTwice) {
  EXPECT_EQ(Damaged()
                .json(kGraph, [](Json& t) { std::swap(graph_of(t)["nodes"][0], graph_of(t)["nodes"][1]); })
                .code(),
            "E0360");
  EXPECT_EQ(
      Damaged().json(kGraph, [](Json& t) { graph_of(t)["nodes"].push_back(graph_of(t)["nodes"][0]); }).code(),
      "E0360");
}

TEST(Pt2BadFiles, RefusesExpressionsAPythonReaderWouldEvaluate) {
  const auto evil = [](Json& t) {
    auto& size = graph_of(t)["tensor_values"].begin().value()["sizes"][0];
    size = {{"as_expr", {{"expr_str", "__import__('os').system('id')"}, {"hint", {{"as_int", 8}}}}}};
  };
  EXPECT_EQ(Damaged().json(kGraph, evil).code(), "E0360");
}

TEST(Pt2BadFiles, RefusesNamesThatAreNotNames) {
  const auto rename = [](Json& t) { graph_of(t)["nodes"][0]["name"] = "x; import os"; };
  EXPECT_EQ(Damaged().json(kGraph, rename).code(), "E0360");
}

TEST(Pt2BadFiles, AnotherByteOrderIsRefused) {
  EXPECT_EQ(Damaged().text("byteorder", [](auto& t) { t = "big"; }).code(), "E0411");
}

TEST(Pt2BadFiles, AnotherSchemaIsRefused) {
  EXPECT_EQ(Damaged().json(kGraph, [](Json& t) { t["schema_version"]["major"] = 9; }).code(), "E0411");
}

std::string code_of_running(const std::string& target) {
  const models::Model model =
      Damaged().json(kGraph, [&](Json& t) { graph_of(t)["nodes"][0]["target"] = target; }).model();
  return test::error_code([&] { kernels::Executor executor(model.program); });
}

TEST(Pt2BadFiles, OpsThatCouldDoMoreThanArithmeticNeverRun) {
  EXPECT_EQ(code_of_running("torch.ops.aten.from_file.default"), "E0410");
  EXPECT_EQ(code_of_running("torch.ops.aten.save.default"), "E0410");
  EXPECT_EQ(code_of_running("torch.ops.torchvision.nms.default"), "E0410");
  EXPECT_EQ(code_of_running("os.system"), "E0410");
  EXPECT_EQ(code_of_running("torch.ops.aten.conv2d.no_such_overload"), "E0410");
}

TEST(Pt2BadFiles, ArgumentsThatDoNotFitTheSchemaAreRefused) {
  EXPECT_EQ(code_of_running("torch.ops.aten.embedding.default"), "E0412");
}

TEST(Pt2BadFiles, EveryTruncationOfTheGraphIsRefused) {
  const std::string whole = entries_of(test::cases_folder() / "syn_rmsnorm.pt2").at(kGraph);
  for (std::size_t length = 0; length < whole.size(); length += 97)
    EXPECT_EQ(test::error_code([&] { io::parse_json(std::string_view(whole).substr(0, length), "m"); }),
              "E0326")
        << length;
}

}  // namespace
}  // namespace pollard
