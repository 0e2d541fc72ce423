// SPDX-License-Identifier: Apache-2.0
#include "pruning/latency.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "models/io/stage.h"

namespace pollard::pruning {
namespace {

constexpr std::size_t kCandidates = 5, kNetworks = kCandidates * kCandidates;

/// From the floor to whole; multiples of 8 between where there is room.
std::vector<std::int64_t> candidates_of(const Class& c) {
  if (!c.takes_part()) return {c.size};
  const std::int64_t floor = c.size - c.removable, step = c.removable >= 64 ? 8 : 1;
  std::vector<std::int64_t> out;
  for (std::size_t k = 0; k < kCandidates; ++k) {
    const auto part = static_cast<std::int64_t>(k) * c.removable / static_cast<std::int64_t>(kCandidates - 1);
    const bool end = k == 0 || k + 1 == kCandidates;
    out.push_back(end ? floor + part : (floor + part + step / 2) / step * step);
  }
  return out;
}

}  // namespace

LatencyModel::LatencyModel(const models::Model& model, const graph::Dependencies& d,
                           const std::vector<Class>& classes, OpTimer& timer) {
  for (const Class& c : classes) {
    candidates_.push_back(candidates_of(c));
    axes_.push_back(static_cast<std::size_t>(d.groups[static_cast<std::size_t>(c.groups.front())].axis));
  }
  const auto by_op = classes_by_op(model.program, d, classes);
  colour(by_op);
  for (std::size_t network = 0; network < kNetworks; ++network) {
    std::vector<std::int64_t> widths;
    for (std::size_t c = 0; c < classes.size(); ++c) widths.push_back(candidates_[c][candidate(c, network)]);
    models::io::tell_stage({.name = "latency",
                            .unit = "networks",
                            .done = static_cast<std::int64_t>(network),
                            .total = static_cast<std::int64_t>(kNetworks)});
    const std::vector<double> times = timer.times(classes, widths);
    for (std::size_t op = 0; op < times.size(); ++op) {
      std::vector<double>& sums = shapes_[by_op[op]].sums;
      sums.resize(kNetworks, 0);
      sums[network] += times[op];
    }
  }
  models::io::tell_stage({.name = "latency",
                          .unit = "networks",
                          .done = static_cast<std::int64_t>(kNetworks),
                          .total = static_cast<std::int64_t>(kNetworks)});
  for (auto& [of, shape] : shapes_) fill(of, shape);
  dense_ = race_models({&model}, 15).front();
  const double sum = seconds(graph::full_widths(d));
  scale_ = sum > 0 ? dense_ / sum : 1;
}

std::size_t LatencyModel::candidate(std::size_t c, std::size_t network) const {
  if (candidates_[c].size() == 1) return 0;
  const std::size_t i = network / kCandidates, j = network % kCandidates;
  return colours_[c] == kCandidates ? j : (i + colours_[c] * j) % kCandidates;
}

/// Greedily, those with most neighbours first; a class that finds no colour free shares one.
void LatencyModel::colour(const std::vector<std::vector<std::size_t>>& classes_by_op) {
  std::vector<std::set<std::size_t>> neighbours(candidates_.size());
  for (const auto& classes : classes_by_op)
    for (const std::size_t a : classes)
      for (const std::size_t b : classes)
        if (a != b) neighbours[a].insert(b);
  std::vector<std::size_t> order(candidates_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t c) { return neighbours[c].size(); });
  colours_.assign(candidates_.size(), kCandidates + 1);
  for (const std::size_t c : order) {
    std::vector<int> taken(kCandidates + 2, 0);
    for (const std::size_t other : neighbours[c]) ++taken[colours_[other]];
    taken.pop_back();
    colours_[c] = static_cast<std::size_t>(std::ranges::min_element(taken) - taken.begin());
  }
}

/// From the sums by network to a grid by candidates, where every cell was seen.
void LatencyModel::fill(const std::vector<std::size_t>& classes, Shape& shape) const {
  if (classes.size() > 2) return fit(classes, shape);
  std::vector<double> sum(classes.size() == 2 ? kNetworks : classes.size() == 1 ? kCandidates : 1, 0);
  std::vector<int> seen(sum.size(), 0);
  for (std::size_t network = 0; network < kNetworks; ++network) {
    std::size_t cell = 0;
    for (const std::size_t c : classes) cell = cell * kCandidates + candidate(c, network);
    sum[cell] += shape.sums[network];
    ++seen[cell];
  }
  if (std::ranges::find(seen, 0) != seen.end()) return fit(classes, shape);
  for (std::size_t cell = 0; cell < sum.size(); ++cell) sum[cell] /= seen[cell];
  for (std::size_t cell = sum.size(); cell-- > 0;) {
    if ((cell + 1) % kCandidates > 0 && cell + 1 < sum.size()) sum[cell] = std::min(sum[cell], sum[cell + 1]);
    if (cell + kCandidates < sum.size()) sum[cell] = std::min(sum[cell], sum[cell + kCandidates]);
  }
  shape.grid = std::move(sum);
}

/// Least squares of seconds = fixed + variable x (product of the classes' shares), neither below 0.
void LatencyModel::fit(const std::vector<std::size_t>& classes, Shape& shape) const {
  double x_sum = 0, y_sum = 0, xx = 0, xy = 0;
  for (std::size_t network = 0; network < kNetworks; ++network) {
    double x = 1;
    for (const std::size_t c : classes)
      x *= static_cast<double>(candidates_[c][candidate(c, network)]) /
           static_cast<double>(candidates_[c].back());
    x_sum += x, y_sum += shape.sums[network];
    xx += x * x, xy += x * shape.sums[network];
  }
  const double n = kNetworks, spread = xx - x_sum * x_sum / n;
  shape.variable = spread > 0 ? std::max(0.0, (xy - x_sum * y_sum / n) / spread) : 0;
  shape.fixed = (y_sum - shape.variable * x_sum) / n;
  if (shape.fixed >= 0) return;
  shape.fixed = 0;
  shape.variable = xy / xx;
}

std::pair<std::size_t, double> LatencyModel::place(std::size_t c, const graph::Widths& widths) const {
  const std::vector<std::int64_t>& all = candidates_[c];
  const std::int64_t width = std::clamp(widths[axes_[c]], all.front(), all.back());
  const auto above = std::ranges::upper_bound(all, width);
  const auto at = static_cast<std::size_t>(above - all.begin()) - 1;
  if (above == all.end()) return {at, 0};
  return {at, static_cast<double>(width - all[at]) / static_cast<double>(*above - all[at])};
}

double LatencyModel::of(const std::vector<std::size_t>& classes, const Shape& shape,
                        const graph::Widths& widths) const {
  if (shape.grid.empty()) {
    double share = 1;
    for (const std::size_t c : classes)
      share *= static_cast<double>(widths[axes_[c]]) / static_cast<double>(candidates_[c].back());
    return shape.fixed + shape.variable * share;
  }
  if (classes.empty()) return shape.grid[0];
  const auto [last, share] = place(classes.back(), widths);
  const auto along = [&, last = last, share = share](std::size_t row) {
    const std::size_t cell = row * kCandidates + last;
    return share > 0 ? (1 - share) * shape.grid[cell] + share * shape.grid[cell + 1] : shape.grid[cell];
  };
  if (classes.size() == 1) return along(0);
  const auto [row, part] = place(classes.front(), widths);
  return part > 0 ? (1 - part) * along(row) + part * along(row + 1) : along(row);
}

double LatencyModel::seconds(const graph::Widths& widths) const {
  double sum = 0;
  for (const auto& [classes, shape] : shapes_) sum += of(classes, shape, widths);
  return scale_ * sum;
}

}  // namespace pollard::pruning
