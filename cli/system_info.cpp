// SPDX-License-Identifier: Apache-2.0
#include "cli/system_info.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>

#include "kernels/device_info.h"

namespace pollard::cli {
namespace {

constexpr std::array<std::string_view, 11> speed_flags{"sse4_2",   "avx",         "avx2",        "fma",
                                                       "avx512f",  "avx512_vnni", "avx512_bf16", "amx_tile",
                                                       "amx_bf16", "asimd",       "sve"};

// The text after "name :" in files like /proc/cpuinfo; "" when absent.
std::string field(const char* path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with(name) || colon == std::string::npos) continue;
    const std::size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

std::int64_t memory_field(std::string_view name) {
  std::istringstream text(field("/proc/meminfo", name));
  std::int64_t kibibytes = 0;
  text >> kibibytes;
  return kibibytes * 1024;
}

std::vector<std::string> flags_that_matter() {
  const std::string flags = field("/proc/cpuinfo", "flags");
  std::istringstream words(flags.empty() ? field("/proc/cpuinfo", "Features") : flags);
  std::vector<std::string> found;
  for (std::string word; words >> word;)
    if (std::find(speed_flags.begin(), speed_flags.end(), word) != speed_flags.end()) found.push_back(word);
  return found;
}

std::int64_t free_disk() {
  std::error_code error;
  const auto space = std::filesystem::space(std::filesystem::current_path(error), error);
  return error ? 0 : static_cast<std::int64_t>(space.available);
}

std::string dotted(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

}  // namespace

SystemInfo system_info() {
  const std::string cpu = field("/proc/cpuinfo", "model name");
  return {.libtorch = TORCH_VERSION,
          .compiler = __VERSION__,
          .cpu = cpu.empty() ? "unknown" : cpu,
          .cpu_capability = at::get_cpu_capability(),
          .cpu_flags = flags_that_matter(),
          .hardware_threads = static_cast<int>(std::thread::hardware_concurrency()),
          .torch_threads = at::get_num_threads(),
          .memory_bytes = memory_field("MemTotal"),
          .memory_available_bytes = memory_field("MemAvailable"),
          .disk_free_bytes = free_disk()};
}

std::string check_libtorch() {
  try {
    const at::Tensor ones = at::full({3, 3}, 1.0);
    const double sum = ones.matmul(ones).sum().item<double>();
    return sum == 27.0 ? "" : fmt::format("a 3x3 product of ones sums to {}", sum);
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string cuda_summary(const kernels::CudaInfo& info) {
  if (!info.built) return "not built in";
  if (info.devices.empty()) return "no device: " + info.problem;
  return fmt::format("{}, driver {}, {} device{}", dotted(info.runtime_version), dotted(info.driver_version),
                     info.devices.size(), info.devices.size() == 1 ? "" : "s");
}

}  // namespace pollard::cli
