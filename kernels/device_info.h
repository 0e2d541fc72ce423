// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pollard::kernels {

/// One CUDA device as its driver describes it.
struct CudaDevice {
  int index = 0;  ///< the n of "cuda:n"
  std::string name;
  int major = 0, minor = 0;  ///< compute capability, e.g. 9.0
  int multiprocessors = 0;
  std::int64_t total_bytes = 0;  ///< device memory
  std::int64_t free_bytes = 0;   ///< at the time of the call
};

/// What this build and this machine offer; asking never fails.
struct CudaInfo {
  bool built = false;       ///< this program contains CUDA kernels
  int runtime_version = 0;  ///< of the CUDA runtime in use, 13020 for 13.2; 0 when not built
  int driver_version = 0;   ///< the newest runtime the driver serves; 0 without a driver
  std::vector<CudaDevice> devices;
  std::string problem;  ///< one sentence why `devices` is empty; "" when it is not
};
CudaInfo cuda_info();

/// Makes LibTorch's CUDA operators available: loads libtorch_cuda once (1 to 2 s), so that runs on the CPU do not
/// pay for it. Throws UserError E0510 (Exit::Environment) when this build, the machine or LibTorch has no CUDA.
void load_cuda_operators();

}  // namespace pollard::kernels
