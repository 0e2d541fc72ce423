// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace pollard::kernels::cuda {

using Floats = std::vector<float>;
using Index = std::int64_t;

inline std::size_t size(Index n) { return static_cast<std::size_t>(n); }

/// Numbers with a normal distribution.
inline Floats random(Index count, unsigned seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  Floats out(size(count));
  for (float& x : out) x = normal(generator);
  return out;
}

/// Every number within `share` of the largest one wanted.
inline void expect_near_largest(const Floats& got, const std::vector<double>& want, double share) {
  double most = 0;
  for (double x : want) most = std::max(most, std::fabs(x));
  for (std::size_t n = 0; n < got.size(); ++n) ASSERT_NEAR(got[n], want[n], share * most) << n;
}

}  // namespace pollard::kernels::cuda
