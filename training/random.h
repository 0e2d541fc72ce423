// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <numbers>

namespace pollard::training {

/// Random numbers that depend on a key alone (SplitMix64, Steele, Lea and Flood 2014): what happens to sample 17 in epoch
/// 3 is the same on any thread, in any process, and after a resume.
class Random {
 public:
  explicit Random(std::initializer_list<std::uint64_t> key) {
    for (const std::uint64_t part : key) state_ = mixed(state_ ^ part) + 0x9e3779b97f4a7c15ULL;
  }

  std::uint64_t next() { return mixed(state_ += 0x9e3779b97f4a7c15ULL); }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  ///< in [0, 1)
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  std::int64_t below(std::int64_t bound) {  ///< in [0, bound); the bias is below bound / 2^63
    return static_cast<std::int64_t>((next() >> 1) % static_cast<std::uint64_t>(bound));
  }
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  static std::uint64_t mixed(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::uint64_t state_ = 0x243f6a8885a308d3ULL;
};

}  // namespace pollard::training
