// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace emulation {

/// Errors the sanitizer of this build has reported so far.
int sanitizer_reports();

enum class Build { Plain, AddressSanitizer, ThreadSanitizer };
Build build();

}  // namespace emulation
