// SPDX-License-Identifier: Apache-2.0
#pragma once

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

}  // namespace pollard::kernels::cuda
