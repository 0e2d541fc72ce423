// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pollard::models::io {

enum class Deflated { Raw, Gzip };

/// The plain bytes of a deflate stream (RFC 1951) or a gzip file (RFC 1952), at most `limit` of them. Throws UserError
/// E0396 that names `name` when the stream is damaged, ends early or gives more.
std::vector<std::byte> inflate(std::span<const std::byte> bytes, Deflated form, std::uint64_t limit,
                               const std::string& name);

}  // namespace pollard::models::io
