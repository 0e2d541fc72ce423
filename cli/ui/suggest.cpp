// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/suggest.h"

#include <algorithm>

namespace pollard::cli {

int edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = static_cast<int>(i);
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const int change = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::optional<std::string> closest(std::string_view typed, const std::vector<std::string>& candidates) {
  constexpr std::size_t longest = 64;  // a pasted novel is no typing mistake
  if (typed.empty() || typed.size() > longest) return std::nullopt;
  std::optional<std::string> best;
  int best_distance = static_cast<int>(std::max<std::size_t>(1, typed.size() / 3)) + 1;
  for (const std::string& candidate : candidates) {
    const int distance = edit_distance(typed, candidate);
    if (distance >= best_distance) continue;
    best = candidate;
    best_distance = distance;
  }
  if (best) return best;
  const auto begun = std::find_if(candidates.begin(), candidates.end(), [&](const std::string& c) {
    return typed.size() >= 2 && c.starts_with(typed);
  });
  return begun == candidates.end() ? std::nullopt : std::optional(*begun);
}

}  // namespace pollard::cli
