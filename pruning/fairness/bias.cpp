// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/bias.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "graph/error.h"

namespace pollard::pruning::fairness {
namespace {

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Mean rank of every value of the two samples together, and the sum of t^3 - t over runs of t equal ones.
struct Ranks {
  double first_sum = 0, ties = 0;
};

Ranks rank(std::span<const double> a, std::span<const double> b) {
  std::vector<std::pair<double, bool>> all;
  for (const double x : a) all.emplace_back(x, true);
  for (const double x : b) all.emplace_back(x, false);
  std::ranges::sort(all, {}, &std::pair<double, bool>::first);
  Ranks out;
  for (std::size_t i = 0; i < all.size();) {
    std::size_t j = i;
    while (j < all.size() && all[j].first == all[i].first) ++j;
    const double rank = static_cast<double>(i + 1 + j) / 2, run = static_cast<double>(j - i);
    for (std::size_t k = i; k < j; ++k) out.first_sum += all[k].second ? rank : 0;
    out.ties += run * run * run - run;
    i = j;
  }
  return out;
}

double difference(const std::vector<GroupRates>& groups, double GroupRates::*rate) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const GroupRates& g : groups) {
    if (std::isnan(g.*rate)) continue;
    low = std::min(low, g.*rate);
    high = std::max(high, g.*rate);
  }
  return high > low ? high - low : 0;
}

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? std::numeric_limits<double>::quiet_NaN()
                    : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

Spread spread(const std::vector<std::vector<double>>& by_group) {
  Spread out;
  double sum = 0;
  std::size_t count = 0;
  for (const auto& values : by_group) {
    out.group_means.push_back(mean_of(values));
    sum += std::accumulate(values.begin(), values.end(), 0.0);
    count += values.size();
  }
  out.mean = count == 0 ? 0 : sum / static_cast<double>(count);
  for (const double m : out.group_means) out.bias += std::abs(out.mean - m);
  return out;
}

double level_of(const Reading& reading, std::span<const double> values) {
  return reading.level ? reading.level(values) : mean_of(values);
}

double bias_of(const Reading& reading, const std::vector<std::vector<double>>& by_group) {
  return reading.bias ? reading.bias(by_group) : spread(by_group).bias;
}

double attribute_risk(std::span<const double> negative, std::span<const double> positive) {
  return 1 / (1 + std::exp(mean_of(positive) - mean_of(negative)));
}

double mann_whitney(std::span<const double> a, std::span<const double> b) {
  if (a.empty() || b.empty()) return 1;
  const auto n = static_cast<double>(a.size()), m = static_cast<double>(b.size()), all = n + m;
  const Ranks ranks = rank(a, b);
  const double u = ranks.first_sum - n * (n + 1) / 2, mean = n * m / 2;
  const double variance = n * m / 12 * (all + 1 - ranks.ties / (all * (all - 1)));
  if (!(variance > 0)) return 1;
  const double z = std::max(0.0, std::abs(u - mean) - 0.5) / std::sqrt(variance);
  return std::erfc(z / std::sqrt(2.0));
}

double descriptor_gap(const std::vector<std::vector<double>>& nll_by_descriptor) {
  std::int64_t pairs = 0, differ = 0;
  for (std::size_t i = 0; i < nll_by_descriptor.size(); ++i)
    for (std::size_t j = i + 1; j < nll_by_descriptor.size(); ++j) {
      ++pairs;
      differ += mann_whitney(nll_by_descriptor[i], nll_by_descriptor[j]) < 0.05 ? 1 : 0;
    }
  return pairs == 0 ? 0 : static_cast<double>(differ) / static_cast<double>(pairs);
}

double stereotype_share(std::span<const double> stereotyping, std::span<const double> other) {
  POLLARD_CHECK(stereotyping.size() == other.size(), "pairs of unequal number");
  double count = 0;
  for (std::size_t i = 0; i < other.size(); ++i)
    count += stereotyping[i] > other[i] ? 1 : stereotyping[i] == other[i] ? 0.5 : 0;
  return other.empty() ? 0.5 : count / static_cast<double>(other.size());
}

GroupGap group_gap(std::span<const std::int64_t> predicted, std::span<const std::int64_t> label,
                   std::span<const std::int64_t> group, std::int64_t positive) {
  const bool negative = std::ranges::any_of(group, [](std::int64_t g) { return g < 0; });
  if (predicted.size() != label.size() || label.size() != group.size() || negative)
    throw UserError({.code = "E0203",
                     .exit = Exit::Usage,
                     .subject = "labelled data",
                     .message = "predictions, labels and groups differ in length, or a group is negative",
                     .where = {},
                     .why = {},
                     .help = {}});
  struct Counts {
    std::int64_t right = 0, hits = 0, alarms = 0;
  };
  GroupGap out;
  const std::size_t groups = group.empty() ? 0 : static_cast<std::size_t>(std::ranges::max(group)) + 1;
  POLLARD_CHECK(groups <= group.size() + (1 << 20), "groups are numbered from 0");
  out.groups.resize(groups);
  std::vector<Counts> counts(groups);
  for (std::size_t i = 0; i < group.size(); ++i) {
    GroupRates& rates = out.groups[static_cast<std::size_t>(group[i])];
    Counts& c = counts[static_cast<std::size_t>(group[i])];
    const bool is = label[i] == positive, said = predicted[i] == positive;
    ++rates.count;
    ++(is ? rates.positives : rates.negatives);
    c.right += predicted[i] == label[i] ? 1 : 0;
    c.hits += is && said ? 1 : 0;
    c.alarms += !is && said ? 1 : 0;
  }
  for (std::size_t g = 0; g < groups; ++g) {
    GroupRates& rates = out.groups[g];
    rates.accuracy = ratio(counts[g].right, rates.count);
    rates.true_positive = ratio(counts[g].hits, rates.positives);
    rates.false_positive = ratio(counts[g].alarms, rates.negatives);
  }
  out.accuracy = difference(out.groups, &GroupRates::accuracy);
  out.true_positive = difference(out.groups, &GroupRates::true_positive);
  out.false_positive = difference(out.groups, &GroupRates::false_positive);
  out.equalised_odds = std::max(out.true_positive, out.false_positive);
  return out;
}

}  // namespace pollard::pruning::fairness
