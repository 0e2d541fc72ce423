// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pollard::kernels {
struct CudaInfo;
}

namespace pollard::cli {

/// This machine as `doctor`, `devices` and `--version` tell it. Unknown texts are "unknown", unknown sizes 0.
struct SystemInfo {
  std::string libtorch;                ///< version, "2.15.0"
  std::string compiler;                ///< that built pollard
  std::string cpu;                     ///< model name
  std::string cpu_capability;          ///< the vector kernels LibTorch chose: "AVX512", "AVX2", "DEFAULT"
  std::vector<std::string> cpu_flags;  ///< of those that matter for speed
  int hardware_threads = 0;
  int torch_threads = 0;
  std::int64_t memory_bytes = 0, memory_available_bytes = 0;
  std::int64_t disk_free_bytes = 0;  ///< in the current folder
};
SystemInfo system_info();

/// Runs one small matrix product; "" when its result is right, otherwise what went wrong.
std::string check_libtorch();

/// "13.2, driver 13.2, 1 device", or why there is none.
std::string cuda_summary(const kernels::CudaInfo& info);

}  // namespace pollard::cli
