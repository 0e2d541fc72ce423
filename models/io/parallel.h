// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace pollard::models::io {

/// Calls work(0) ... work(count - 1) and returns when all are done, from as many threads as `bytes` of work
/// are worth. The first exception stops the rest and is thrown here.
void parallel_for(std::size_t count, std::uint64_t bytes, const std::function<void(std::size_t)>& work);

}  // namespace pollard::models::io
