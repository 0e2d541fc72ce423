// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace pollard::models::io {

/// Bytes that this process may still take: the least of what the system has available, what its control group leaves
/// (page cache that can go does not count as taken) and what RLIMIT_AS leaves.
std::uint64_t free_memory();

/// Refuses what cannot fit before any of it is taken: UserError E0504, Exit::Environment, "needs 3.1 GiB of memory, 2.0
/// GiB are free". `help` is what to do about it; "" for the general advice.
void require_memory(std::uint64_t bytes, const std::string& subject, const std::string& help = "");

}  // namespace pollard::models::io
