// SPDX-License-Identifier: Apache-2.0
#include "models/polynomial.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pollard::models {
namespace {

using Numbers = std::vector<std::int64_t>;

/// Coefficients, lowest first, of the polynomial through (xs[i], ys[i]): Newton's divided differences.
std::vector<long double> interpolate(const Numbers& xs, std::vector<long double> ys) {
  const std::size_t n = xs.size();
  for (std::size_t order = 1; order < n; ++order)
    for (std::size_t i = n - 1; i >= order; --i)
      ys[i] = (ys[i] - ys[i - 1]) / static_cast<long double>(xs[i] - xs[i - order]);
  std::vector<long double> coefficients(n, 0);
  for (std::size_t i = n; i-- > 0;) {  // Horner: p = p * (x - xs[i]) + ys[i]
    for (std::size_t k = n - 1; k > 0; --k)
      coefficients[k] = coefficients[k - 1] - coefficients[k] * static_cast<long double>(xs[i]);
    coefficients[0] = ys[i] - coefficients[0] * static_cast<long double>(xs[i]);
  }
  return coefficients;
}

/// All combinations of one number from each list, the first list varying slowest.
std::vector<Numbers> grid(const std::vector<Numbers>& lists) {
  std::vector<Numbers> out{{}};
  for (const Numbers& list : lists) {
    std::vector<Numbers> longer;
    for (const Numbers& head : out)
      for (const std::int64_t item : list) {
        longer.push_back(head);
        longer.back().push_back(item);
      }
    out = std::move(longer);
  }
  return out;
}

int degree(const Polynomial::Exponents& exponents) {
  return std::accumulate(exponents.begin(), exponents.end(), 0);
}

std::string monomial(const Polynomial::Exponents& exponents, std::span<const std::string> symbols) {
  std::string out;
  for (std::size_t s = 0; s < exponents.size(); ++s) {
    if (exponents[s] == 0) continue;
    out += (out.empty() ? "" : "*") + symbols[s];
    if (exponents[s] > 1) out += "**" + std::to_string(exponents[s]);
  }
  return out;
}

}  // namespace

bool Polynomial::constant() const {
  return terms.empty() || (terms.size() == 1 && degree(terms.begin()->first) == 0);
}

std::int64_t Polynomial::at(std::span<const std::int64_t> sizes) const {
  std::int64_t total = 0;
  for (const auto& [exponents, coefficient] : terms) {
    std::int64_t product = coefficient;
    for (std::size_t s = 0; s < exponents.size(); ++s)
      for (int e = 0; e < exponents[s]; ++e) product *= sizes[s];
    total += product;
  }
  return total;
}

std::string Polynomial::to_string(std::span<const std::string> symbols) const {
  std::vector<std::pair<Exponents, std::int64_t>> sorted(terms.begin(), terms.end());
  std::ranges::stable_sort(sorted,
                           [](const auto& a, const auto& b) { return degree(a.first) > degree(b.first); });
  std::string out;
  for (const auto& [exponents, coefficient] : sorted) {
    const std::int64_t size = std::abs(coefficient);
    const std::string variables = monomial(exponents, symbols);
    out += out.empty() ? (coefficient < 0 ? "-" : "") : (coefficient < 0 ? " - " : " + ");
    if (variables.empty() || size != 1) out += std::to_string(size) + (variables.empty() ? "" : "*");
    out += variables;
  }
  return out.empty() ? "0" : out;
}

PolynomialFit::PolynomialFit(std::vector<Numbers> levels, std::vector<Numbers> checks)
    : levels_(std::move(levels)), points_(grid(levels_)) {
  points_.insert(points_.end(), checks.begin(), checks.end());
}

std::optional<Polynomial> PolynomialFit::fit(std::span<const std::int64_t> values) const {
  std::size_t count = 1;
  for (const Numbers& level : levels_) count *= level.size();
  std::vector<long double> table(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count));

  // Interpolates along one symbol after the other; afterwards table[...] holds coefficients by exponents.
  std::size_t stride = count;
  for (const Numbers& level : levels_) {
    stride /= level.size();
    for (std::size_t start = 0; start < count; ++start) {
      if (start / stride % level.size() != 0) continue;
      std::vector<long double> line(level.size());
      for (std::size_t i = 0; i < level.size(); ++i) line[i] = table[start + i * stride];
      line = interpolate(level, std::move(line));
      for (std::size_t i = 0; i < level.size(); ++i) table[start + i * stride] = line[i];
    }
  }

  Polynomial result;
  std::vector<Numbers> exponent_lists;
  for (const Numbers& level : levels_) {
    exponent_lists.emplace_back(level.size());
    std::iota(exponent_lists.back().begin(), exponent_lists.back().end(), 0);
  }
  const auto exponents = grid(exponent_lists);
  for (std::size_t i = 0; i < count; ++i)
    if (const auto whole = static_cast<std::int64_t>(std::llround(table[i])); whole != 0)
      result.terms[{exponents[i].begin(), exponents[i].end()}] = whole;

  // Rounding above is harmless: the answer is checked exactly here.
  for (std::size_t i = 0; i < points_.size(); ++i)
    if (result.at(points_[i]) != values[i]) return std::nullopt;
  return result;
}

}  // namespace pollard::models
