// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "models/model.h"
#include "tests/bad_files/temp_folder.h"
#include "tests/paths.h"
#include "training/trainer.h"

namespace pollard::training::test {

inline std::string data_path(const std::string& name) {
  return pollard::test::data_folder() + "/training/data/" + name;
}

/// What PyTorch computed; see make_training.py.
inline const nlohmann::json& expected() {
  static const nlohmann::json all = [] {
    std::ifstream in(data_path("training.json"));
    return nlohmann::json::parse(in);
  }();
  return all;
}

/// A folder of its own for every test, removed at its end.
using Folder = bad_files::TempFolder;

/// Images that a small network can learn: class k is a wave of its own, with noise. [samples, 1, 6, 6].
inline std::pair<at::Tensor, at::Tensor> waves(std::int64_t samples) {
  const at::Tensor labels = at::arange(samples, at::kLong) % 4;
  const at::Tensor x = at::arange(36, at::kFloat).view({1, 36}), k = labels.view({-1, 1}).to(at::kFloat);
  const at::Tensor noise = (at::arange(samples * 36, at::kFloat).view({samples, 36}) * 12.9898F).sin() * 0.4;
  return {((x * (k + 1) * 0.4).sin() + noise).view({samples, 1, 6, 6}), labels};
}

inline Data wave_data(std::int64_t samples, std::int64_t validation = 0) {
  const auto [x, y] = waves(samples + validation);
  Data out;
  out.train =
      std::make_unique<InMemory>(std::vector<at::Tensor>{x.slice(0, 0, samples)}, y.slice(0, 0, samples));
  if (validation > 0)
    out.validation =
        std::make_unique<InMemory>(std::vector<at::Tensor>{x.slice(0, samples)}, y.slice(0, samples));
  return out;
}

inline models::Model net(const std::string& name = "net") { return models::load(data_path(name + ".pt2")); }

}  // namespace pollard::training::test
