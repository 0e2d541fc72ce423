// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace pollard::cli {

/// The q-quantile (0..1) of values sorted ascending, linear between neighbours. NaN for an empty list.
double quantile(const std::vector<double>& sorted, double q);

/// Half the width of the 95 % confidence interval of the median, from order statistics: it assumes nothing about
/// the distribution but that runs are independent.
double median_half_width(const std::vector<double>& sorted);

}  // namespace pollard::cli
