// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// Text from files, made safe to print, and small helpers for messages.
namespace pollard::models::io {

/// `text` with control characters, escape sequences and bytes that are not UTF-8 written as \xNN, and cut
/// after `limit` bytes: a name from a file can never drive a terminal.
std::string printable(std::string_view text, std::size_t limit = 200);

/// printable() in double quotes.
std::string in_quotes(std::string_view text);

/// Offset of the first byte that is not well-formed UTF-8 (no surrogates, no overlong forms), or npos.
std::size_t first_invalid_utf8(std::string_view text);

/// Whether `text` has a character below 0x20, or 0x7f.
bool has_control_characters(std::string_view text);

/// Up to `count` of `candidates` whose spelling is close to `name`, nearest first.
std::vector<std::string> near_names(std::string_view name, const std::vector<std::string>& candidates,
                                    std::size_t count = 3);

/// "a.pt, b.pt or c.pt".
std::string join_or(const std::vector<std::string>& items);

/// "12", "4.0 KiB", "3.1 GiB".
std::string human_bytes(double bytes);

}  // namespace pollard::models::io
