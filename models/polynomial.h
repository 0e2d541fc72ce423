// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace pollard::models {

/// A whole-number polynomial in the symbolic sizes of a program: how an integer argument depends on them.
struct Polynomial {
  using Exponents = std::vector<int>;       ///< one a symbol
  std::map<Exponents, std::int64_t> terms;  ///< no zero coefficients; {} is 0

  bool constant() const;
  std::int64_t at(std::span<const std::int64_t> sizes) const;
  /// "2*s0*s1 + s0 - 1": terms of higher degree first, the form sympy reads.
  std::string to_string(std::span<const std::string> symbols) const;
  bool operator==(const Polynomial&) const = default;
};

/// The polynomial of at most the given degree in each symbol that takes `values[i]` at `points[i]`; nullopt when no
/// polynomial with whole coefficients does. `points` is a full grid, the first `grid` of them, followed by points
/// that only check.
class PolynomialFit {
 public:
  /// `levels[s]`: the values of symbol s on the grid; its degree is one less than their number.
  PolynomialFit(std::vector<std::vector<std::int64_t>> levels, std::vector<std::vector<std::int64_t>> checks);

  /// All points: the grid with the first symbol varying slowest, then the checks.
  const std::vector<std::vector<std::int64_t>>& points() const { return points_; }
  std::optional<Polynomial> fit(std::span<const std::int64_t> values) const;

 private:
  std::vector<std::vector<std::int64_t>> levels_, points_;
};

}  // namespace pollard::models
