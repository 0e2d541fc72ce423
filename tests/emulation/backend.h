// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the kernel tests run on. Compiled by a C++ compiler it is the emulator, in every order of threads and blocks; compiled
// by nvcc it is the GPU of this machine, several times over. The tests themselves are the same text.

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "tests/emulation/emulator.h"
#include "tests/emulation/reports.h"
#endif

namespace pollard::kernels::cuda {

#ifdef __CUDACC__

inline void require_success(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

/// An array that kernels read and write, as long as asked for. What nobody wrote is NaN.
template <class T>
class Array {
 public:
  explicit Array(std::size_t count) : count_(count) {
    require_success(cudaMalloc(&memory_, count * sizeof(T)));
    require_success(cudaMemset(memory_, 0xff, count * sizeof(T)));
  }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    require_success(cudaMemcpy(memory_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~Array() { cudaFree(memory_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() const { return memory_; }
  std::vector<T> values() const {
    std::vector<T> out(count_);
    require_success(cudaGetLastError());  // of the launches before
    require_success(cudaMemcpy(out.data(), memory_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return out;
  }

 private:
  T* memory_ = nullptr;
  std::size_t count_;
};

/// Runs `compute` several times: results must be equal bit for bit.
template <class Compute>
auto on_every_schedule(Compute&& compute) {
  const auto first = compute();
  for (int again = 1; again <= 5; ++again) {
    const auto next = compute();
    EXPECT_EQ(std::memcmp(next.data(), first.data(), first.size() * sizeof first[0]), 0) << "run " << again;
  }
  return first;
}

constexpr bool kOnGpu = true;

#else

template <class T>
class Array {
 public:
  explicit Array(std::size_t count) : values_(count) {
    std::memset(static_cast<void*>(values_.data()), 0xff, count * sizeof(T));
  }
  explicit Array(std::vector<T> values) : values_(std::move(values)) {}

  T* data() const { return values_.data(); }
  const std::vector<T>& values() const { return values_; }

 private:
  mutable std::vector<T> values_;
};

/// Runs `compute` under several schedules; results must be equal bit for bit and no sanitizer may speak.
template <class Compute>
auto on_every_schedule(Compute&& compute) {
  const emulation::Options before = emulation::options();
  const int reports = emulation::sanitizer_reports();
  const auto first = compute();
  // A race is found on any schedule, so the slow sanitizer needs no second one.
  const std::uint64_t last = emulation::build() == emulation::Build::ThreadSanitizer ? 0 : 5;
  for (std::uint64_t seed = 1; seed <= last; ++seed) {
    emulation::options().seed = seed;
    const auto again = compute();
    EXPECT_EQ(std::memcmp(again.data(), first.data(), first.size() * sizeof first[0]), 0) << "seed " << seed;
  }
  emulation::options() = before;
  EXPECT_EQ(emulation::sanitizer_reports(), reports);
  return first;
}

constexpr bool kOnGpu = false;

#endif

}  // namespace pollard::kernels::cuda
