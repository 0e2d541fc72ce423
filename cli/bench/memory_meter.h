// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>

namespace pollard::cli {

/// Bytes of tensor memory taken and returned on this thread while the object lives, as LibTorch's allocators report
/// them (CPU and CUDA alike). What was taken before does not count.
class MemoryMeter {
 public:
  MemoryMeter();
  /// Most bytes held at once since construction.
  std::int64_t peak() const;

 private:
  struct Counter;
  std::shared_ptr<Counter> counter_;
  c10::DebugInfoGuard guard_;
};

}  // namespace pollard::cli
