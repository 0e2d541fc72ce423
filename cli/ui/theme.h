// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace pollard::cli {

/// Every colour the program uses. Colour only repeats what the words already say.
/// A default-made theme is plain text.
struct Theme {
  std::string_view subject;  ///< what a message is about, table headings
  std::string_view error;
  std::string_view warning;
  std::string_view verdict;  ///< passed, OK
  std::string_view path;     ///< files and side remarks
  std::string_view reset;

  static constexpr Theme ansi() {
    return {"\033[1m", "\033[1;31m", "\033[1;33m", "\033[1;32m", "\033[2m", "\033[0m"};
  }
  std::string paint(std::string_view style, std::string_view text) const {
    return std::string(style).append(text).append(style.empty() ? std::string_view{} : reset);
  }
};

}  // namespace pollard::cli
