// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runs CUDA kernels on a CPU, one fiber a CUDA thread, so that their indexing, barriers and races are tested where there
// is no GPU. The kernel sources (kernels/cuda/*.cuh) are compiled as they are, by a C++ compiler and with this header in
// front; nvcc compiles the same text. Fast it is not: about 60 ns a barrier and thread.
//
// What it finds:
//   wrong results      shared memory starts as NaN; every array in it is a block of its own, exactly as large as asked
//                      for, so AddressSanitizer sees one element too many
//   order dependence   POLLARD_EMULATION_SEED: 0 threads in order, 1 in reverse, 2.. at random, with random pauses at atomics
//   races              ThreadSanitizer's fibers: threads are unordered unless a barrier of the kernel orders them, so a
//                      race is found on any schedule; POLLARD_EMULATION_BLOCKS=1 looks for races between blocks as well
//   barriers           deadlocks (who waits where), a barrier some threads have left, two different barriers met
//   warps              lanes missing from a shuffle or a product of a warp, masks that differ, lanes that have returned
//   copies             what a copy in the background writes is NaN until its thread has waited for it, and a race for others
//                      until a barrier; addresses that are not aligned
//   limits             block and grid sizes, 227 KiB of shared memory
// What it does not: speed, memory order beyond barriers, timing of divergent warps, approximate math but for fast_tanh, which
// is as wrong here as it may be there.

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace emulation {

/// A kernel did what a GPU does not forgive.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Where a barrier or shuffle stands in the source.
struct Site {
  const char* file;
  int line;
};

struct ThreadContext {
  uint3 thread, block;
  dim3 block_size, grid_size;
  unsigned lane, warp;
};
/// Of the CUDA thread that runs now.
const ThreadContext& context();

struct Options {
  std::uint64_t seed = 0;
  bool races_between_blocks = false;
};
/// From the environment; tests may change them.
Options& options();

void run(dim3 grid, dim3 block, std::size_t shared_bytes, std::function<void()> body);

int block_barrier(bool flag, Site site);  ///< how many threads passed true
void warp_barrier(std::uint32_t mask, Site site);
void* shared_array(std::size_t bytes);
/// A copy of sixteen bytes in the background. The calls only note it: whoever is instrumented writes.
struct Copy {
  void* to;
  const void* from;
};
constexpr std::size_t kCopyBytes = 16;
void begin_copy(Copy copy, Site site);
void end_group();  ///< of the copies begun so far
/// The oldest copy not yet made, if its group is not one of the last `pending`.
bool finish_copy(unsigned pending, Copy& copy);

void pause();        ///< others run first
void maybe_pause();  ///< sometimes, under random schedules

/// What a lane shows to its warp.
using Payload = std::array<std::uint64_t, 4>;
/// Every lane's payload; lanes outside the mask show NaN.
void exchange(std::uint32_t mask, const Payload& mine, Payload (&all)[32], const char* what, Site site);

template <class T>
Payload to_payload(const T& value) {
  static_assert(sizeof(T) <= sizeof(Payload) && std::is_trivially_copyable_v<T>);
  Payload out{};
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

template <class T>
T shuffle(std::uint32_t mask, const T& value, int source, bool inside, const char* what, Site site) {
  Payload all[32];
  exchange(mask, to_payload(value), all, what, site);
  T out;
  std::memcpy(&out, all[inside ? source : static_cast<int>(context().lane)].data(), sizeof(T));
  return out;
}

}  // namespace emulation

#define threadIdx (::emulation::context().thread)
#define blockIdx (::emulation::context().block)
#define blockDim (::emulation::context().block_size)
#define gridDim (::emulation::context().grid_size)
#define POLLARD_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(POLLARD_SITE) { ::emulation::block_barrier(false, {file, line}); }
inline int __syncthreads_count(int flag, POLLARD_SITE) {
  return ::emulation::block_barrier(flag != 0, {file, line});
}
inline void __syncwarp(unsigned mask = 0xffffffffU, POLLARD_SITE) {
  ::emulation::warp_barrier(mask, {file, line});
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, POLLARD_SITE) {
  const int lane = static_cast<int>(::emulation::context().lane);
  return ::emulation::shuffle(mask, value, (lane & ~(width - 1)) | (source & (width - 1)), true,
                              "__shfl_sync", {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int other, int width = 32, POLLARD_SITE) {
  const int lane = static_cast<int>(::emulation::context().lane), source = lane ^ other;
  return ::emulation::shuffle(mask, value, source, source < (lane & ~(width - 1)) + width, "__shfl_xor_sync",
                              {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, POLLARD_SITE) {
  const int lane = static_cast<int>(::emulation::context().lane), source = lane + static_cast<int>(delta);
  return ::emulation::shuffle(mask, value, source, source < (lane & ~(width - 1)) + width, "__shfl_down_sync",
                              {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, POLLARD_SITE) {
  const int lane = static_cast<int>(::emulation::context().lane), source = lane - static_cast<int>(delta);
  return ::emulation::shuffle(mask, value, source, source >= (lane & ~(width - 1)), "__shfl_up_sync",
                              {file, line});
}
template <class T>
T atomicAdd(T* target, T value) {
  ::emulation::maybe_pause();
  T old;
  __atomic_load(target, &old, __ATOMIC_RELAXED);
  for (T sum = old + value;
       !__atomic_compare_exchange(target, &old, &sum, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);)
    sum = old + value;
  return old;
}
template <class T>
T __ldg(const T* from) {
  return *from;
}
inline float __expf(float x) { return std::exp(x); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }

namespace pollard::kernels::cuda {

/// The block's shared memory, array by array: every thread takes the same arrays in the same order.
class SharedMemory {
 public:
  template <class T>
  T* take(std::size_t count) {
    return static_cast<T*>(::emulation::shared_array(count * sizeof(T)));
  }
};

inline void copy_async(void* to, const void* from, POLLARD_SITE) {
  ::emulation::begin_copy({to, from}, {file, line});
  std::memset(to, 0xFF, ::emulation::kCopyBytes);
}
inline void commit_copies() { ::emulation::end_group(); }
template <int kPending>
void wait_copies() {
  for (::emulation::Copy copy{}; ::emulation::finish_copy(kPending, copy);)
    std::memcpy(copy.to, copy.from, ::emulation::kCopyBytes);
}

inline void store_shared(float* to, float4 numbers) { *reinterpret_cast<float4*>(to) = numbers; }

inline unsigned round_to_bf16(float x) {
  if (std::isnan(x)) return 0x7FFF;
  const auto bits = std::bit_cast<unsigned>(x);
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;  // to the nearest, ties to even
}
inline unsigned pack_bf16(float low, float high) { return round_to_bf16(low) | round_to_bf16(high) << 16; }

/// Rounded to eleven bits, which errs by as much as the instruction may: 2^-11.
inline float fast_tanh(float x) {
  return std::bit_cast<float>((std::bit_cast<unsigned>(std::tanh(x)) + 0x1000) & ~0x1FFFU);
}

/// Every lane shows its parts of both matrices and computes its four sums of them.
inline void multiply_bf16(float (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2], POLLARD_SITE) {
  struct Parts {
    unsigned a[4], b[2];
  } all[32], mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  ::emulation::Payload shown[32];
  ::emulation::exchange(0xffffffffU, ::emulation::to_payload(mine), shown, "multiply_bf16", {file, line});
  for (unsigned lane = 0; lane < 32; ++lane) std::memcpy(&all[lane], shown[lane].data(), sizeof(Parts));
  const auto half = [](unsigned pair, unsigned k) {
    return std::bit_cast<float>(k % 2 == 0 ? pair << 16 : pair & 0xFFFF0000U);
  };
  const unsigned lane = ::emulation::context().lane;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4, column = lane % 4 * 2 + i % 2;
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned holder = k % 8 / 2, upper = k / 8;
      sums[i] +=
          half(all[row * 4 + holder].a[2 * upper + i / 2], k) * half(all[column * 4 + holder].b[upper], k);
    }
  }
}

using Stream = void*;

inline std::size_t shared_limit() { return std::size_t{227} << 10; }

/// Arguments are taken by value at the launch, as CUDA does.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream /*stream*/,
            Arguments... arguments) {
  ::emulation::run(grid, block, shared_bytes,
                   [kernel, bound = std::tuple<Parameters...>(arguments...)] { std::apply(kernel, bound); });
}

}  // namespace pollard::kernels::cuda
