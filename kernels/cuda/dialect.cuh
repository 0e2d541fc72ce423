// SPDX-License-Identifier: Apache-2.0
#pragma once

// What kernels use beside CUDA's own language: launches, shared memory and the instructions that have no name there. Sources with kernels include this header and no
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

/// Sixteen bytes from global to shared memory, both aligned to that, in the background. The thread sees them once it has waited
/// for the copy's group, others of the block after a barrier beyond that.
__device__ inline void copy_async(void* to, const void* from) {
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "l"(__cvta_generic_to_global(from))
      : "memory");
}
/// The copies begun since the last call are a group, were there none.
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Until no more than the last kPending groups are under way.
template <int kPending>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Four numbers to shared memory, aligned to sixteen bytes, in one instruction; nvcc splits what it does not see to be aligned.
__device__ inline void store_shared(float* to, float4 numbers) {
  asm volatile(
      "st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "f"(numbers.x), "f"(numbers.y), "f"(numbers.z), "f"(numbers.w)
      : "memory");
}

/// Two numbers as bf16 in a word, rounded to the nearest, ties to even.
__device__ inline unsigned pack_bf16(float low, float high) {
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/// Off by at most 2^-11 of its value.
__device__ inline float fast_tanh(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// A product of a whole warp, [16, 16] bf16 by [16, 8] bf16 added to [16, 8] f32. With r = lane / 4 and c = lane % 4 a lane holds
///
///     sums  [r, 2c], [r, 2c + 1], [r + 8, 2c], [r + 8, 2c + 1]
///     a     pairs of neighbours in a row, from [r, 2c], [r + 8, 2c], [r, 2c + 8], [r + 8, 2c + 8] on
///     b     pairs of neighbours in a column, from [2c, r], [2c + 8, r] on
///
/// with the first of a pair in the lower half of the word (PTX ISA, mma.m16n8k16).
__device__ inline void multiply_bf16(float (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

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

/// The numbers of a word of two bf16.
__device__ inline float low_bf16(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ inline float high_bf16(unsigned pair) { return __uint_as_float(pair & 0xFFFF0000U); }

/// The sum over a warp, in a fixed order; every lane gets it.
template <class T>
__device__ inline T warp_sum(T value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffU, value, step);
  return value;
}

}  // namespace pollard::kernels::cuda
