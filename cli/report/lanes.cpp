// SPDX-License-Identifier: Apache-2.0
#include "cli/report/lanes.h"

#include <algorithm>
#include <functional>
#include <queue>

namespace pollard::cli::report {

Lanes assign_lanes(const std::vector<std::vector<std::int32_t>>& reads) {
  std::vector<std::int32_t> last_read(reads.size(), -1);
  for (std::size_t i = 0; i < reads.size(); ++i)
    for (const std::int32_t from : reads[i])
      last_read[static_cast<std::size_t>(from)] = static_cast<std::int32_t>(i);

  Lanes out{.lane = std::vector<std::int32_t>(reads.size(), 0)};
  std::priority_queue<std::int32_t, std::vector<std::int32_t>, std::greater<>> free;
  for (std::size_t i = 0; i < reads.size(); ++i) {
    for (const std::int32_t from : reads[i]) {
      auto& last = last_read[static_cast<std::size_t>(from)];
      if (last != static_cast<std::int32_t>(i)) continue;
      free.push(out.lane[static_cast<std::size_t>(from)]);
      last = -1;  // a node may read another twice
    }
    if (free.empty()) free.push(out.count++);
    out.lane[i] = free.top();
    free.pop();
    if (last_read[i] < 0) free.push(out.lane[i]);  // nobody reads it
  }
  return out;
}

}  // namespace pollard::cli::report
