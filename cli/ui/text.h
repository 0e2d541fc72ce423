// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pollard::cli {

/// Reads the code point at `position` and moves past it. nullopt for a byte that is not valid UTF-8
/// (overlong forms and surrogates included); `position` then moves on by one byte.
std::optional<char32_t> next_code_point(std::string_view text, std::size_t& position);

/// Columns a terminal needs for the text: wide East Asian characters take 2, combining marks 0.
int display_width(std::string_view text);

/// The text made safe to print: control characters, escape sequences, direction overrides and bytes that are
/// not UTF-8 become visible escapes (\n, \x1b, \u{202e}). Names read from model files go through this.
std::string printable(std::string_view text);

/// At most `width` columns, with "..." where characters were left out.
std::string cut_middle(std::string_view text, int width);
std::string cut_end(std::string_view text, int width);

/// `text` followed (left) or preceded (right) by spaces up to `width` columns.
std::string pad_right(std::string_view text, int width);
std::string pad_left(std::string_view text, int width);

/// Lines of at most `width` columns, broken at spaces; a longer word stays whole. Newlines are kept.
std::vector<std::string> wrap(std::string_view text, int width);

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);

}  // namespace pollard::cli
