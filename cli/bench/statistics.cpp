// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pollard::cli {

double quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double position = std::clamp(q, 0.0, 1.0) * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

double median_half_width(const std::vector<double>& sorted) {
  if (sorted.empty()) return std::numeric_limits<double>::quiet_NaN();
  // The count of values below the median is binomial(n, 1/2): mean n/2, deviation sqrt(n)/2.
  const double reach = 0.98 / std::sqrt(static_cast<double>(sorted.size()));
  return (quantile(sorted, 0.5 + reach) - quantile(sorted, 0.5 - reach)) / 2;
}

}  // namespace pollard::cli
