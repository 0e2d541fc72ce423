// SPDX-License-Identifier: Apache-2.0
// How much the choice of prompts matters.
#include <algorithm>
#include <cmath>
#include <random>

#include "graph/error.h"
#include "pruning/fairness/bias.h"

namespace pollard::pruning::fairness {
namespace {

using ByGroup = std::vector<std::vector<double>>;

Interval percentiles(std::vector<double> draws) {
  std::erase_if(draws, [](double draw) { return std::isnan(draw); });
  if (draws.empty()) return {.low = std::nan(""), .high = std::nan("")};
  std::ranges::sort(draws);
  const auto at = [&](double share) {
    return draws[static_cast<std::size_t>(std::llround(share * static_cast<double>(draws.size() - 1)))];
  };
  return {.low = at(0.025), .high = at(0.975)};
}

/// Calls `visit` with the values of each draw of the prompts, for every one of `of` from the same prompts.
template <class F>
void resample(const std::vector<const ByGroup*>& of, std::int64_t resamples, std::uint64_t seed,
              std::int64_t block, F visit) {
  std::mt19937_64 generator(seed);
  const auto together = static_cast<std::size_t>(block);
  std::vector<ByGroup> drawn;
  for (const ByGroup* groups : of) drawn.push_back(*groups);
  for (std::int64_t round = 0; round < resamples; ++round) {
    for (std::size_t g = 0; g < drawn.front().size(); ++g)
      for (std::size_t to = 0; to + together <= drawn.front()[g].size(); to += together) {
        const std::size_t from = generator() % (drawn.front()[g].size() / together) * together;
        for (std::size_t k = 0; k < of.size(); ++k)
          std::copy_n((*of[k])[g].begin() + static_cast<std::ptrdiff_t>(from), block,
                      drawn[k][g].begin() + static_cast<std::ptrdiff_t>(to));
      }
    visit(drawn);
  }
}

class Draws {
 public:
  explicit Draws(std::size_t groups) : levels_(groups) {}
  void add(double bias, const std::vector<double>& levels) {
    bias_.push_back(bias);
    for (std::size_t g = 0; g < levels.size(); ++g) levels_[g].push_back(levels[g]);
  }
  AxisIntervals intervals() && {
    AxisIntervals out{.bias = percentiles(std::move(bias_)), .levels = {}};
    for (auto& draws : levels_) out.levels.push_back(percentiles(std::move(draws)));
    return out;
  }

 private:
  std::vector<double> bias_;
  std::vector<std::vector<double>> levels_;
};

std::vector<double> levels_of(const Reading& reading, const ByGroup& by_group) {
  std::vector<double> out;
  for (const auto& values : by_group) out.push_back(level_of(reading, values));
  return out;
}

}  // namespace

AxisIntervals bootstrap(const ByGroup& by_group, std::int64_t resamples, std::uint64_t seed,
                        const Reading& reading) {
  Draws draws(by_group.size());
  resample({&by_group}, resamples, seed, reading.values_a_prompt, [&](const std::vector<ByGroup>& drawn) {
    draws.add(bias_of(reading, drawn[0]), levels_of(reading, drawn[0]));
  });
  return std::move(draws).intervals();
}

AxisIntervals bootstrap_change(const ByGroup& before, const ByGroup& after, std::int64_t resamples,
                               std::uint64_t seed, const Reading& reading) {
  const auto sizes = [](const auto& a, const auto& b) { return a.size() == b.size(); };
  POLLARD_CHECK(std::ranges::equal(before, after, sizes), "two measurements of different prompts");
  Draws draws(before.size());
  resample({&before, &after}, resamples, seed, reading.values_a_prompt,
           [&](const std::vector<ByGroup>& drawn) {
             std::vector<double> change = levels_of(reading, drawn[1]);
             const std::vector<double> from = levels_of(reading, drawn[0]);
             for (std::size_t g = 0; g < change.size(); ++g) change[g] -= from[g];
             draws.add(bias_of(reading, drawn[1]) - bias_of(reading, drawn[0]), change);
           });
  return std::move(draws).intervals();
}

}  // namespace pollard::pruning::fairness
