// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cuda/dialect.cuh"

namespace pollard::kernels::cuda {

constexpr unsigned kJoinThreads = 128;

/// sums[i] = the i-th of every one of `parts` lists of `count`, in their order.
template <class T>
__global__ void __launch_bounds__(kJoinThreads)
    join_kernel(const T* lists, std::int64_t parts, std::int64_t count, T* sums) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kJoinThreads + threadIdx.x;
  if (i >= count) return;
  T sum = 0;
  for (std::int64_t part = 0; part < parts; ++part) sum += lists[part * count + i];
  sums[i] = sum;
}

template <class T>
void join(const T* lists, std::int64_t parts, std::int64_t count, T* sums, Stream stream) {
  const auto blocks = static_cast<unsigned>((count + kJoinThreads - 1) / kJoinThreads);
  launch(join_kernel<T>, dim3{blocks, 1, 1}, dim3{kJoinThreads, 1, 1}, 0, stream, lists, parts, count, sums);
}

}  // namespace pollard::kernels::cuda
