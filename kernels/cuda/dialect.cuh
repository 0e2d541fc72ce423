// SPDX-License-Identifier: Apache-2.0
#pragma once

// What kernels use beside CUDA's own language: launches and shared memory. Sources with kernels include this header and no
// other of CUDA's, so that tests can compile the same text for a CPU: tests/emulation/emulator.h, included first, then
// takes the place of what stands under __CUDACC__.

#ifdef __CUDACC__
#include <cuda_runtime.h>

#include <cstddef>

namespace pollard::kernels::cuda {

/// The block's shared memory, array by array: every thread takes the same arrays in the same order.
class SharedMemory {
 public:
  template <class T>
  __device__ T* take(std::size_t count) {
    extern __shared__ __align__(16) unsigned char memory[];
    T* array = reinterpret_cast<T*>(memory + used_);
    used_ += (count * sizeof(T) + 15) / 16 * 16;
    return array;
  }

 private:
  std::size_t used_ = 0;
};

using Stream = cudaStream_t;

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            Arguments... arguments) {
  constexpr std::size_t kWithoutAsking = std::size_t{48} << 10;
  if (shared_bytes > kWithoutAsking)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
}

/// Bytes of shared memory a block can have on the current device: 163 KiB on sm_80, 227 KiB on sm_90.
inline std::size_t shared_limit() {
  int device = 0, bytes = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return static_cast<std::size_t>(bytes);
}

}  // namespace pollard::kernels::cuda
#endif

namespace pollard::kernels::cuda {

/// What `take` of an array of this size uses.
template <class T>
constexpr std::size_t shared_bytes(std::size_t count) {
  return (count * sizeof(T) + 15) / 16 * 16;
}

constexpr unsigned kWarp = 32;

/// The sum over a warp, in a fixed order; every lane gets it.
template <class T>
__device__ inline T warp_sum(T value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffU, value, step);
  return value;
}

}  // namespace pollard::kernels::cuda
