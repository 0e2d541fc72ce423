// SPDX-License-Identifier: Apache-2.0
#include "pruning/latency_table.h"

#include <ATen/Parallel.h>
#include <torch/csrc/api/include/torch/version.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/io/atomic_file.h"
#include "models/io/bytes.h"
#include "models/io/file.h"

namespace pollard::pruning {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "pollard.latency/1";

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (const auto colon = line.find(": "); line.starts_with("model name") && colon != std::string::npos)
      return line.substr(colon + 2);
  return "unknown processor";
}

}  // namespace

std::string LatencyTable::machine() {
  const int threads = at::get_num_threads();
  return processor() + ", " + std::to_string(threads) + (threads == 1 ? " thread" : " threads") +
         ", LibTorch " + TORCH_VERSION;
}

std::filesystem::path LatencyTable::default_path() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value ? value : "");
  };
  if (const auto cache = variable("XDG_CACHE_HOME"); !cache.empty()) return cache / "pollard/latency.json";
  if (const auto home = variable("HOME"); !home.empty()) return home / ".cache/pollard/latency.json";
  return {};
}

LatencyTable::LatencyTable(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code error;
  if (path_.empty() || !std::filesystem::exists(path_, error)) return;
  constexpr std::uint64_t kLargest = std::uint64_t{256} << 20;
  const std::vector<std::byte> bytes = models::io::read_file(path_, kLargest);
  const json file = json::parse(models::io::as_text(bytes), nullptr, false);
  try {
    if (file.at("format") != kFormat) throw std::invalid_argument("format");
    others_ = file.at("machines").get<decltype(others_)>();
  } catch (const std::exception&) {
    throw UserError({.code = "E0326",
                     .exit = Exit::BadFile,
                     .subject = path_.string(),
                     .message = "is no table of op times",
                     .where = {},
                     .why = {},
                     .help = "delete it: the times are measured again"});
  }
  mine_ = std::move(others_[machine()]);
}

std::optional<double> LatencyTable::find(const std::string& op) const {
  const auto found = mine_.find(op);
  return found == mine_.end() ? std::nullopt : std::optional(found->second);
}

void LatencyTable::save() {
  if (path_.empty() || !changed_) return;
  std::error_code error;
  if (path_.has_parent_path()) std::filesystem::create_directories(path_.parent_path(), error);
  auto all = others_;
  all[machine()] = mine_;
  const std::string text = json{{"format", kFormat}, {"machines", all}}.dump(1) + "\n";
  models::io::write_file(path_, std::as_bytes(std::span(text)), true);
  changed_ = false;
}

}  // namespace pollard::pruning
