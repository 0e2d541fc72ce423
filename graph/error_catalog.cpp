// SPDX-License-Identifier: Apache-2.0
#include "graph/error_catalog.h"

#include <algorithm>

namespace pollard {
namespace {

std::vector<ErrorEntry> sorted_entries() {
  std::vector<ErrorEntry> all;
  for (const auto part : {errors::usage(), errors::files(), errors::unsupported(), errors::environment()})
    all.insert(all.end(), part.begin(), part.end());
  std::sort(all.begin(), all.end(), [](const ErrorEntry& a, const ErrorEntry& b) { return a.code < b.code; });
  return all;
}

}  // namespace

const std::vector<ErrorEntry>& all_errors() {
  static const std::vector<ErrorEntry> all = sorted_entries();
  return all;
}

const ErrorEntry* find_error(std::string_view code) {
  const auto& all = all_errors();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const ErrorEntry& entry) { return entry.code == code; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace pollard
