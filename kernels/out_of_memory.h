// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <string_view>

namespace pollard::kernels {

/// Whether LibTorch threw because there was no memory: a device's allocator has a type of its own for that, the CPU's
/// says it in words only.
inline bool is_out_of_memory(const c10::Error& error) {
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         std::string_view(error.what_without_backtrace()).find("can't allocate memory") !=
             std::string_view::npos;
}

}  // namespace pollard::kernels
