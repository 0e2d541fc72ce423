// SPDX-License-Identifier: Apache-2.0
#include "tests/models/support/exported_cases.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "graph/error.h"
#include "models/io/json.h"
#include "models/io/pt2_reader.h"
#include "tests/paths.h"

namespace pollard::test {

namespace fs = std::filesystem;

fs::path cases_folder() { return fs::path(test::data_folder()) / "cases"; }
fs::path export_forms_folder() { return fs::path(test::data_folder()) / "export_forms"; }

std::vector<std::string> case_names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".pt2") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

models::Model read_case(const fs::path& path) { return models::io::read_pt2(models::io::ZipReader(path)); }

namespace {

const models::io::Json& expected(const fs::path& folder) {
  static std::map<std::string, models::io::Json> loaded;
  const auto [entry, fresh] = loaded.try_emplace(folder.string());
  if (fresh) {
    std::ifstream file(folder / "expected.json");
    std::stringstream text;
    text << file.rdbuf();
    entry->second = models::io::parse_json(text.str(), "expected.json");
  }
  return entry->second.at("cases");
}

std::string type_name(const at::Tensor& tensor) {
  std::string name = c10::toString(tensor.scalar_type());
  static const std::map<std::string, std::string> kPython{{"Float", "float32"},
                                                          {"Double", "float64"},
                                                          {"Long", "int64"},
                                                          {"Char", "int8"},
                                                          {"BFloat16", "bfloat16"}};
  const auto known = kPython.find(name);
  return known == kPython.end() ? name : known->second;
}

double distance(const at::Tensor& given, const models::io::Json& record) {
  const at::Tensor flat = given.detach().to(at::kDouble).flatten().contiguous();
  double largest = 1e-12, worst = 0;
  const auto values = record.at("value").get<std::vector<double>>();
  const auto index = record.at("index").get<std::vector<std::int64_t>>();
  for (double value : values) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < index.size(); ++i)
    worst = std::max(worst, std::abs(flat.const_data_ptr<double>()[index[i]] - values[i]) / largest);
  const double norm = std::max(record.at("l2").get<double>(), 1e-12);
  worst = std::max(worst, std::abs(flat.norm().item<double>() - record.at("l2").get<double>()) / norm);
  return std::max(worst,
                  std::abs(flat.sum().item<double>() - record.at("sum").get<double>()) /
                      (norm * std::sqrt(static_cast<double>(std::max<std::int64_t>(flat.numel(), 1)))));
}

}  // namespace

double distance_from_expected(const fs::path& folder, const std::string& name,
                              const std::vector<at::Tensor>& outputs) {
  const models::io::Json& records = expected(folder).at(name);
  EXPECT_EQ(outputs.size(), records.size()) << name;
  double worst = 0;
  for (std::size_t i = 0; i < std::min(outputs.size(), records.size()); ++i) {
    const auto shape = records[i].at("shape").get<std::vector<std::int64_t>>();
    EXPECT_EQ(outputs[i].sizes().vec(), shape) << name << " output " << i;
    EXPECT_EQ(type_name(outputs[i]), records[i].at("dtype").get<std::string>()) << name << " output " << i;
    if (outputs[i].sizes().vec() == shape) worst = std::max(worst, distance(outputs[i], records[i]));
  }
  return worst;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "pollard_test_XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string error_code(const std::function<void()>& action) {
  try {
    action();
  } catch (const UserError& error) {
    return error.parts().code;
  }
  return "";
}

}  // namespace pollard::test
