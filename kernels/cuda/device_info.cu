// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_info.h"

#include <cuda_runtime_api.h>

namespace pollard::kernels {
namespace {

// Free memory needs a context, which may fail on a device another process holds exclusively; then it stays 0.
std::int64_t free_memory(int index) {
  int before = 0;
  cudaGetDevice(&before);
  std::size_t free = 0, total = 0;
  const bool known = cudaSetDevice(index) == cudaSuccess && cudaMemGetInfo(&free, &total) == cudaSuccess;
  cudaGetLastError();
  cudaSetDevice(before);
  return known ? static_cast<std::int64_t>(free) : 0;
}

CudaDevice describe(int index, const cudaDeviceProp& properties) {
  return {.index = index,
          .name = properties.name,
          .major = properties.major,
          .minor = properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .total_bytes = static_cast<std::int64_t>(properties.totalGlobalMem),
          .free_bytes = free_memory(index)};
}

}  // namespace

CudaInfo cuda_info() {
  CudaInfo info{.built = true};
  cudaRuntimeGetVersion(&info.runtime_version);
  cudaDriverGetVersion(&info.driver_version);
  int count = 0;
  cudaError_t status = cudaGetDeviceCount(&count);
  for (int index = 0; status == cudaSuccess && index < count; ++index) {
    cudaDeviceProp properties;
    status = cudaGetDeviceProperties(&properties, index);
    if (status == cudaSuccess) info.devices.push_back(describe(index, properties));
  }
  if (info.devices.empty()) info.problem = status == cudaSuccess ? "no device" : cudaGetErrorString(status);
  cudaGetLastError();  // the failed question must not surface in a later, unrelated call
  return info;
}

}  // namespace pollard::kernels
