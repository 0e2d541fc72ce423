// SPDX-License-Identifier: Apache-2.0
#include "models/parity.h"

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/golden_fill.h"
#include "tests/paths.h"

namespace pollard::models {
namespace {

using Json = nlohmann::json;
using Status = ParityResult::Status;

Json golden(const std::string& name) {
  std::ifstream file(test::data_folder() + "/golden/" + name + ".json");
  return Json::parse(file);
}
ParityResult check(const Json& json) { return check_golden(json.dump(), "changed"); }

std::vector<float> values(const at::Tensor& t) {
  return {t.const_data_ptr<float>(), t.const_data_ptr<float>() + t.numel()};
}

// Expected values: tests/golden/goldfill.py.
TEST(GoldenFill, EqualsThePythonRule) {
  EXPECT_EQ(values(golden_unit("input:0", {3})),
            (std::vector<float>{6.903088e-01F, 7.86252e-02F, 9.841294e-01F}));
  EXPECT_EQ(values(golden_parameter("fc.weight", {2, 2})),
            (std::vector<float>{-2.171414e-02F, 5.2646875e-01F, 3.4439632e-01F, 2.835586e-01F}));
  EXPECT_EQ(values(golden_parameter("bn.weight", {2})), (std::vector<float>{1.01585e+00F, 9.692946e-01F}));
  EXPECT_EQ(values(golden_parameter("bn.bias", {2})), (std::vector<float>{-9.554659e-02F, -6.716782e-02F}));
  EXPECT_EQ(values(golden_parameter("bn.running_var", {2})),
            (std::vector<float>{1.361659e+00F, 1.1359985e+00F}));
  const at::Tensor ids = golden_ids("input:1", {4}, 97);
  EXPECT_EQ(
      std::vector<std::int64_t>(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + 4),
      (std::vector<std::int64_t>{52, 61, 87, 22}));
}

TEST(Parity, AWrongOutputFails) {
  Json json = golden("lstm_model_tiny");
  json["outputs"][0]["value"][1] = json["outputs"][0]["value"][1].get<double>() + 1e-5;
  const auto result = check(json);
  EXPECT_EQ(result.status, Status::Failed);
  EXPECT_FALSE(result.taps[0].passed());
  EXPECT_TRUE(result.taps[1].passed());
}

TEST(Parity, AWrongTapFails) {
  Json json = golden("cifar_resnet8_tiny");
  json["outputs"][2]["l2"] = json["outputs"][2]["l2"].get<double>() * 1.001;
  EXPECT_EQ(check(json).status, Status::Failed);
}

TEST(Parity, AnUnknownTapFails) {
  Json json = golden("cifar_resnet8_tiny");
  json["output_names"][2] = "layer9";
  const auto result = check(json);
  EXPECT_EQ(result.status, Status::Failed);
  EXPECT_EQ(result.taps[2].problem, "not recorded by the network");
}

TEST(Parity, DifferentKeysShapesAndCountsAreNamed) {
  Json json = golden("lstm_model_tiny");
  json["keys"]["fc.extra"] = {3};
  EXPECT_NE(check(json).problem.find("no fc.extra"), std::string::npos);
  json = golden("lstm_model_tiny");
  json["keys"].erase("fc.bias");
  EXPECT_NE(check(json).problem.find("extra bias"), std::string::npos);
  json = golden("lstm_model_tiny");
  json["keys"]["fc.bias"] = {4};
  EXPECT_NE(check(json).problem.find("shape of fc.bias"), std::string::npos);
  json = golden("lstm_model_tiny");
  json["parameters"] = 1;
  EXPECT_EQ(check(json).status, Status::Failed);
}

TEST(Parity, AnUnknownArchitectureIsNotPassed) {
  Json json = golden("lstm_model_tiny");
  json["arch"] = "transmogrifier";
  json["keys"] = {{"a.weight", {2, 2}}};
  const auto result = check(json);
  EXPECT_EQ(result.status, Status::NotBuiltIn);
  EXPECT_FALSE(result.passed());
  EXPECT_NE(result.problem.find("transmogrifier"), std::string::npos);
}

TEST(Parity, ArchitecturesNamedAfterFilesAreRecognisedByTheirKeys) {
  Json json = golden("bert_tiny");
  json["arch"] = "an_encoder_of_our_own";
  EXPECT_EQ(check(json).status, Status::Passed);
}

TEST(Parity, FilesOfAnotherKindAreNotPassed) {
  EXPECT_EQ(check(golden("fasp_selection")).status, Status::NotAGolden);
  EXPECT_THROW(check_golden("{", "broken"), UserError);
  EXPECT_THROW(check_golden(std::filesystem::path("/nonexistent.json")), UserError);
}

TEST(Parity, RunsInDoubleWhenAsked) {
  const auto result = check_golden(golden("lstm_model_tiny").dump(), "f64", {.float64 = true});
  EXPECT_TRUE(result.passed());
  EXPECT_TRUE(result.float64);
}

}  // namespace
}  // namespace pollard::models
