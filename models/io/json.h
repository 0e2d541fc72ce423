// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace pollard::models::io {

/// JSON from a file that may be hostile: well-formed UTF-8 without byte-order mark or NUL, nesting at most
/// `depth`, no key twice in one object (nlohmann's parser keeps one of the two silently). Throws E0326 naming
/// `subject` and the byte offset.
nlohmann::json parse_json(std::string_view text, const std::string& subject, std::size_t depth = 64);

}  // namespace pollard::models::io
