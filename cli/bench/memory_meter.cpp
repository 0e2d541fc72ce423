// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/memory_meter.h"

#include <algorithm>

namespace pollard::cli {

struct MemoryMeter::Counter final : c10::MemoryReportingInfoBase {
  void reportMemoryUsage(void*, std::int64_t bytes, std::size_t, std::size_t, c10::Device) override {
    held += bytes;
    peak = std::max(peak, held);
  }
  bool memoryProfilingEnabled() const override { return true; }

  std::int64_t held = 0, peak = 0;
};

MemoryMeter::MemoryMeter()
    : counter_(std::make_shared<Counter>()), guard_(c10::DebugInfoKind::PROFILER_STATE, counter_) {}

std::int64_t MemoryMeter::peak() const { return counter_->peak; }

}  // namespace pollard::cli
