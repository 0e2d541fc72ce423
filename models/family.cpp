// SPDX-License-Identifier: Apache-2.0
#include "models/family.h"

namespace pollard::models {

std::int64_t Shapes::dim(std::string_view key, std::int64_t dimension) const {
  const auto found = map_.find(key);
  if (found == map_.end()) throw Missing();
  const auto rank = std::ssize(found->second);
  const auto index = dimension < 0 ? dimension + rank : dimension;
  if (index < 0 || index >= rank) throw Missing();
  return found->second[static_cast<std::size_t>(index)];
}

std::int64_t Shapes::count(std::string_view prefix, std::string_view suffix) const {
  std::int64_t n = 0;
  while (has(std::string(prefix) + std::to_string(n) + std::string(suffix))) ++n;
  return n;
}

bool Shapes::same(const std::string& a, const std::string& b) const {
  return has(a) && has(b) && equal_ && equal_(a, b);
}

}  // namespace pollard::models
