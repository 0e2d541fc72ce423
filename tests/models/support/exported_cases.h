// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "models/io/json_reader.h"
#include "models/model.h"

/// The exported programs under tests/ and what PyTorch computes for them (tests/oracle/make_case_outputs.py).
namespace pollard::test {

std::filesystem::path cases_folder();         ///< one construct of pruning each
std::filesystem::path export_forms_folder();  ///< one feature of the file format each

/// Names of the .pt2 files of a folder without extension, sorted. Files that must be refused begin with "refused_".
std::vector<std::string> case_names(const std::filesystem::path& folder);

models::Model read_case(const std::filesystem::path& path);

/// Largest relative distance of outputs from what is recorded: values against the largest value, sum and norm
/// against the norm. Fails the running test when number, shapes or element types differ.
double distance_from_expected(const std::filesystem::path& folder, const std::string& name,
                              const std::vector<at::Tensor>& outputs);

/// A new empty folder that goes away with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The code of the UserError `action` throws; "" when it throws none.
std::string error_code(const std::function<void()>& action);

}  // namespace pollard::test
