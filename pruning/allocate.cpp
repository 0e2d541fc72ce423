// SPDX-License-Identifier: Apache-2.0
#include "pruning/allocate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pollard::pruning {
namespace {

/// Most evaluations of the costs that exchanging may spend: seconds on networks of hundreds of groups.
constexpr std::int64_t kMostEvaluations = 400'000;

class Allocator {
 public:
  Allocator(const std::vector<ErrorCurve>& curves, const Excess& excess)
      : curves_(curves), excess_(excess), at_(curves.size(), 0) {
    for (const ErrorCurve& curve : curves) stride_.push_back(std::max<std::size_t>(1, curve.size() / 48));
  }

  std::optional<std::vector<std::size_t>> solve() {
    std::vector<std::size_t> last;
    for (const ErrorCurve& curve : curves_) last.push_back(curve.size() - 1);
    if (excess_(last) > 0) return std::nullopt;
    // Local optima differ with where one comes from: steepest descent, even shrinking, and giving back from the floors.
    std::optional<std::vector<std::size_t>> best;
    for (const auto& start : {steepest(), even(), last}) {
      at_ = start;
      evaluations_ = 0;
      while (give_back() || exchange()) {}
      if (!best || total(at_) < total(*best)) best = at_;
    }
    return best;
  }

 private:
  double left() {
    ++evaluations_;
    return excess_(at_);
  }
  /// The excess with class c at `point`.
  double left_with(std::size_t c, std::size_t point) {
    std::swap(at_[c], point);
    const double out = left();
    std::swap(at_[c], point);
    return out;
  }
  double error(std::size_t c, std::size_t point) const { return curves_[c][point]; }

  double total(const std::vector<std::size_t>& points) const {
    double sum = 0;
    for (std::size_t c = 0; c < points.size(); ++c) sum += error(c, points[c]);
    return sum;
  }

  std::vector<std::size_t> steepest() {
    at_.assign(curves_.size(), 0);
    while (left() > 0) descend();
    return at_;
  }

  /// The same share of every class.
  std::vector<std::size_t> even() {
    double low = 0, high = 1;
    const auto shrink = [&](double share) {
      for (std::size_t c = 0; c < at_.size(); ++c)
        at_[c] = static_cast<std::size_t>(std::ceil(share * static_cast<double>(curves_[c].size() - 1)));
    };
    for (int i = 0; i < 20; ++i) {
      const double middle = (low + high) / 2;
      shrink(middle);
      left() > 0 ? low = middle : high = middle;
    }
    shrink(high);
    return at_;
  }

  /// One move. Where no single move lowers the excess (a maximum over several places), the cheapest step is taken.
  void descend() {
    const double now = left();
    double best = std::numeric_limits<double>::infinity(), cheapest = best;
    std::size_t class_of_best = 0, point_of_best = 0, class_of_cheapest = 0, point_of_cheapest = 0;
    for (std::size_t c = 0; c < at_.size(); ++c) {
      const std::size_t last = curves_[c].size() - 1;
      for (std::size_t jump = stride_[c]; at_[c] < last; jump *= 2) {
        const std::size_t point = std::min(last, at_[c] + jump);
        const double added = error(c, point) - error(c, at_[c]), removed = now - left_with(c, point);
        if (removed > 0 && added / removed < best) {
          best = added / removed;
          class_of_best = c;
          point_of_best = point;
        }
        if (const double each = added / static_cast<double>(point - at_[c]); each < cheapest) {
          cheapest = each;
          class_of_cheapest = c;
          point_of_cheapest = point;
        }
        if (point == last) break;
      }
    }
    const bool found = best < std::numeric_limits<double>::infinity();
    at_[found ? class_of_best : class_of_cheapest] = found ? point_of_best : point_of_cheapest;
  }

  /// The least point of class c, not above the present one, with which the budgets are still met.
  std::size_t least_point(std::size_t c) {
    std::size_t low = 0, high = at_[c];
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      left_with(c, middle) > 0 ? low = middle + 1 : high = middle;
    }
    return low;
  }

  /// Returns what the budgets do not need, to the class whose error falls most.
  bool give_back() {
    double best = -1;
    std::size_t chosen = 0, point = 0;
    for (std::size_t c = 0; c < at_.size(); ++c) {
      const std::size_t least = least_point(c);
      if (const double gain = error(c, at_[c]) - error(c, least); least < at_[c] && gain > best) {
        best = gain;
        chosen = c;
        point = least;
      }
    }
    if (best < 0) return false;
    at_[chosen] = point;
    return true;
  }

  /// Class a gives back 1, 2, 4, ... steps, class b pays for it: the best such trade, when it lowers the error.
  bool exchange() {
    double best = 1e-12;
    std::vector<std::size_t> chosen;
    for (std::size_t a = 0; a < at_.size() && evaluations_ < kMostEvaluations; ++a)
      for (std::size_t back = 1; back <= at_[a]; back *= 2) {
        const double gain = error(a, at_[a]) - error(a, at_[a] - back);
        at_[a] -= back;
        for (std::size_t b = 0; b < at_.size(); ++b) {
          const auto point = b == a ? std::nullopt : paying_point(b, gain - best);
          if (!point) continue;
          best = gain - (error(b, *point) - error(b, at_[b]));
          chosen = at_;
          chosen[b] = *point;
        }
        at_[a] += back;
      }
    if (chosen.empty()) return false;
    at_ = chosen;
    return true;
  }

  /// The least point of class b, above the present one, that meets the budgets for less added error than `affordable`.
  std::optional<std::size_t> paying_point(std::size_t b, double affordable) {
    const ErrorCurve& curve = curves_[b];
    const auto past = std::lower_bound(curve.begin() + static_cast<std::ptrdiff_t>(at_[b]), curve.end(),
                                       curve[at_[b]] + affordable);
    auto high = static_cast<std::size_t>(past - curve.begin());  // the first that costs too much
    if (high <= at_[b] + 1) return std::nullopt;
    std::size_t low = at_[b] + 1;
    --high;
    if (left_with(b, high) > 0) return std::nullopt;
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      left_with(b, middle) > 0 ? low = middle + 1 : high = middle;
    }
    return low;
  }

  const std::vector<ErrorCurve>& curves_;
  const Excess& excess_;
  std::vector<std::size_t> at_, stride_;
  std::int64_t evaluations_ = 0;
};

}  // namespace

std::optional<std::vector<std::size_t>> allocate(const std::vector<ErrorCurve>& curves,
                                                 const Excess& excess) {
  return Allocator(curves, excess).solve();
}

}  // namespace pollard::pruning
