// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace pollard::models::io {

/// Calls work(0) ... work(count - 1) from a few threads and returns when all are done. The first exception stops
/// the rest and is thrown here.
void parallel_for(std::size_t count, const std::function<void(std::size_t)>& work);

}  // namespace pollard::models::io
