// SPDX-License-Identifier: Apache-2.0
// Compiled without sanitizers: the runtimes call these hooks from within their reports.
#include "tests/emulation/reports.h"

namespace emulation {
namespace {
int reports = 0;
}

int sanitizer_reports() { return reports; }

Build build() {
#if defined(EMULATION_TSAN)
  return Build::ThreadSanitizer;
#elif defined(EMULATION_ASAN)
  return Build::AddressSanitizer;
#else
  return Build::Plain;
#endif
}

}  // namespace emulation

extern "C" {
void __asan_on_error() { ++emulation::reports; }
void __tsan_on_report(void* /*report*/) { ++emulation::reports; }
}
