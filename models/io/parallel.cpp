// SPDX-License-Identifier: Apache-2.0
#include "models/io/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace pollard::models::io {
namespace {

/// More threads do not read a file faster; they only crowd the disk.
constexpr std::uint64_t kMostThreads = 8;
/// Less than this is read sooner than a thread is started.
constexpr std::uint64_t kBytesPerThread = std::uint64_t{4} << 20;

}  // namespace

void parallel_for(std::size_t count, std::uint64_t bytes, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
      try {
        work(i);
      } catch (...) {
        next.store(count);
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    }
  };
  const std::uint64_t hardware = std::max(1U, std::thread::hardware_concurrency());
  const std::uint64_t threads =
      std::min<std::uint64_t>({count, kMostThreads, hardware, 1 + bytes / kBytesPerThread});
  {
    std::vector<std::jthread> helpers;
    for (std::uint64_t i = 1; i < threads; ++i) helpers.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace pollard::models::io
