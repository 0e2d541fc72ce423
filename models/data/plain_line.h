// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace pollard::models {

/// A text in lower case on one line: every line break a blank. Letters of all scripts, no language's own rules; bytes that
/// are no UTF-8 become U+FFFD.
std::string lower_case_line(std::string_view text);

}  // namespace pollard::models
