// SPDX-License-Identifier: Apache-2.0
#include "models/io/zip_names.h"

#include <algorithm>

#include "models/io/text.h"

namespace pollard::models::io {
namespace {

bool is_plain(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '-' || c == '/';
}

bool is_component(std::string_view part) { return !part.empty() && part != "." && part != ".."; }

}  // namespace

bool is_root_name(std::string_view root) {
  return is_component(root) && root.find_first_of("/\\") == std::string_view::npos &&
         !has_control_characters(root) && first_invalid_utf8(root) == std::string_view::npos;
}

bool is_entry_name(std::string_view name) {
  constexpr std::size_t kLongestName = 1024;
  if (name.size() > kLongestName || !std::all_of(name.begin(), name.end(), is_plain)) return false;
  for (;;) {
    const std::size_t slash = name.find('/');
    if (!is_component(name.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

}  // namespace pollard::models::io
