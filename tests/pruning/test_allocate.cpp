// SPDX-License-Identifier: Apache-2.0
// The allocator against enumeration of every choice, on chains of layers whose costs multiply neighbouring widths.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "pruning/allocate.h"

namespace pollard::pruning {
namespace {

using Points = std::vector<std::size_t>;

/// A chain of layers: MACs are the sum of products of neighbouring widths, parameters the same with other weights.
struct Chain {
  std::vector<ErrorCurve> curves;
  std::vector<double> widths, resolutions;
  double share = 0.5;

  double cost(const Points& points, bool weighted) const {
    double sum = 0, before = 3;
    for (std::size_t c = 0; c < points.size(); ++c) {
      const double width = widths[c] - static_cast<double>(points[c]);
      sum += before * width * (weighted ? resolutions[c] : 1);
      before = width;
    }
    return sum + before * 10;
  }
  /// Half of both costs at once, say.
  double excess(const Points& points) const {
    double out = 0;
    for (const bool weighted : {false, true})
      out += std::max(0.0, cost(points, weighted) / (share * cost(Points(points.size(), 0), weighted)) - 1);
    return out;
  }
  double error(const Points& points) const {
    double sum = 0;
    for (std::size_t c = 0; c < points.size(); ++c) sum += curves[c][points[c]];
    return sum;
  }
};

Chain random_chain(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  Chain chain{.curves = {}, .widths = {}, .resolutions = {}, .share = 0.35 + 0.4 * uniform(random)};
  for (int c = 0; c < 4; ++c) {
    const auto width = 6 + random() % 7;
    const double scale = std::exp(2 * uniform(random)), power = 0.5 + 2.5 * uniform(random);
    ErrorCurve curve{0.0};
    for (std::size_t p = 1; p < width; ++p)
      curve.push_back(std::max(curve.back(),
                               scale * std::pow(static_cast<double>(p) / static_cast<double>(width), power) *
                                   (0.9 + 0.2 * uniform(random))));
    chain.curves.push_back(curve);
    chain.widths.push_back(static_cast<double>(width));
    chain.resolutions.push_back(c < 2 ? 16 : 4);
  }
  return chain;
}

double least_error(const Chain& chain) {
  double best = std::numeric_limits<double>::infinity();
  Points at(chain.curves.size(), 0);
  for (;;) {
    if (chain.excess(at) <= 0) best = std::min(best, chain.error(at));
    std::size_t c = 0;
    while (c < at.size() && ++at[c] == chain.curves[c].size()) at[c++] = 0;
    if (c == at.size()) return best;
  }
}

TEST(Allocate, ComesNearTheBestOfAllChoices) {
  double sum = 0, worst = 0;
  const int nets = 200;
  for (std::uint64_t seed = 0; seed < nets; ++seed) {
    const Chain chain = random_chain(seed);
    const auto points = allocate(chain.curves, [&](const Points& at) { return chain.excess(at); });
    const double best = least_error(chain);
    ASSERT_EQ(points.has_value(), std::isfinite(best)) << seed;
    if (!points) continue;
    EXPECT_LE(chain.excess(*points), 0) << seed;
    const double gap = chain.error(*points) / best - 1;
    EXPECT_GE(gap, -1e-9) << seed;
    sum += gap;
    worst = std::max(worst, gap);
  }
  RecordProperty("mean_gap", std::to_string(sum / nets));
  RecordProperty("worst_gap", std::to_string(worst));
  EXPECT_LT(sum / nets, 0.01);
  EXPECT_LT(worst, 0.25);
}

TEST(Allocate, NoSingleStepCouldBeGivenBack) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Chain chain = random_chain(seed);
    auto points = allocate(chain.curves, [&](const Points& at) { return chain.excess(at); });
    if (!points) continue;
    for (std::size_t c = 0; c < points->size(); ++c) {
      if ((*points)[c] == 0) continue;
      --(*points)[c];
      EXPECT_GT(chain.excess(*points), 0) << "seed " << seed << ", class " << c;
      ++(*points)[c];
    }
  }
}

TEST(Allocate, WhatNoFloorMeetsIsRefused) {
  const Chain chain = random_chain(1);
  EXPECT_FALSE(allocate(chain.curves, [](const Points&) { return 1.0; }));
  const auto nothing = allocate(chain.curves, [](const Points&) { return 0.0; });
  ASSERT_TRUE(nothing);
  EXPECT_EQ(*nothing, Points(chain.curves.size(), 0));
}

}  // namespace
}  // namespace pollard::pruning
