// SPDX-License-Identifier: Apache-2.0
#include "pruning/compose.h"

#include <algorithm>

namespace pollard::pruning {

std::optional<graph::Removal> compose(const graph::Dependencies& first, const graph::Removal& done,
                                      const graph::Dependencies& second, const graph::Removal& then) {
  if (first.axes.size() != second.axes.size()) return std::nullopt;
  graph::Removal out = done;
  for (std::size_t a = 0; a < out.removed.size(); ++a) {
    const std::vector<std::int64_t>& gone = done.removed[a];
    if (second.axes[a].size != first.axes[a].size - std::ssize(gone)) return std::nullopt;
    std::vector<std::int64_t> left;
    for (std::int64_t unit = 0; unit < first.axes[a].size; ++unit)
      if (!std::ranges::binary_search(gone, unit)) left.push_back(unit);
    for (const std::int64_t unit : then.removed[a])
      out.removed[a].push_back(left[static_cast<std::size_t>(unit)]);
    std::ranges::sort(out.removed[a]);
  }
  return out;
}

}  // namespace pollard::pruning
