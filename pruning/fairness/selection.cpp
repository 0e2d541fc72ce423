// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/selection.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <string>

#include "graph/error.h"

namespace pollard::pruning::fairness {
namespace {

constexpr std::array kMethods{std::pair{Method::Fasp, std::string_view("fasp")},
                              std::pair{Method::Performance, std::string_view("performance")},
                              std::pair{Method::Bias, std::string_view("bias")},
                              std::pair{Method::Magnitude, std::string_view("magnitude")},
                              std::pair{Method::Gradient, std::string_view("gradient")},
                              std::pair{Method::Random, std::string_view("random")}};

[[noreturn]] void refuse(const std::string& subject, const std::string& message) {
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = subject,
                   .message = message,
                   .where = {},
                   .why = {},
                   .help = {}});
}

void check_numbers(std::span<const double> scores, const char* what) {
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (std::isnan(scores[i]))
      refuse(std::string(what) + " scores", "head " + std::to_string(i) + " has no number");
}

/// Truncated product in double, as published: 50 * 0.14 is 7.000000000000001, 50 * 0.58 is 28.999999999999996.
std::int64_t share_of(std::size_t heads, double share) {
  return static_cast<std::int64_t>(static_cast<double>(heads) * share);
}

std::int64_t count_to_remove(std::size_t heads, double alpha) {
  if (!(alpha >= 0 && alpha <= 1)) refuse("alpha", "is not between 0 and 1");
  return share_of(heads, alpha);
}

/// The k-th smallest, counted from 1.
double nth_smallest(std::vector<double> values, std::int64_t k) {
  const auto at = values.begin() + (k - 1);
  std::ranges::nth_element(values, at);
  return *at;
}

std::vector<std::int64_t> at_most(std::span<const double> scores, double threshold) {
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (scores[i] <= threshold) out.push_back(static_cast<std::int64_t>(i));
  return out;
}

void check_shares(std::span<const double> performance, std::span<const double> bias, double gamma) {
  if (performance.size() != bias.size())
    refuse("scores", std::to_string(performance.size()) + " performance scores, but " +
                         std::to_string(bias.size()) + " bias scores");
  if (!(gamma >= 0 && gamma < 1)) refuse("gamma", "is not at least 0 and below 1");
  check_numbers(performance, "performance");
  check_numbers(bias, "bias");
}

[[noreturn]] void too_few(std::int64_t wanted, std::size_t candidates) {
  throw UserError({.code = "E0430",
                   .exit = Exit::Unsupported,
                   .subject = "gamma",
                   .message = std::to_string(wanted) + " heads are to go, but gamma leaves only " +
                              std::to_string(candidates) + " to choose from",
                   .where = {},
                   .why = "the heads with the highest performance scores are kept whatever their bias",
                   .help = "lower gamma or alpha: their sum cannot be above 1"});
}

/// The heads whose loss costs little: all but the share gamma with the highest performance scores.
std::vector<std::int64_t> dispensable(std::span<const double> performance, std::int64_t count, double gamma) {
  const auto heads = static_cast<std::int64_t>(performance.size());
  const std::int64_t left = heads - share_of(performance.size(), gamma);
  std::vector<std::int64_t> out =
      at_most(performance, nth_smallest({performance.begin(), performance.end()}, left));
  if (count > std::ssize(out)) too_few(count, out.size());
  return out;
}

using Biases = std::span<const std::vector<double>>;

bool beats(Biases biases, std::int64_t a, std::int64_t b) {
  bool lower = false;
  for (const std::vector<double>& bias : biases) {
    const double x = bias[static_cast<std::size_t>(a)], y = bias[static_cast<std::size_t>(b)];
    if (x > y) return false;
    lower = lower || x < y;
  }
  return lower;
}

/// Of each head the mean over the axes of how many heads have a lower bias.
std::vector<double> mean_ranks(Biases biases, const std::vector<std::int64_t>& heads) {
  std::vector<double> out;
  for (const std::int64_t head : heads) {
    std::int64_t lower = 0;
    for (const std::vector<double>& bias : biases)
      lower += std::ranges::count_if(heads, [&](std::int64_t other) {
        return bias[static_cast<std::size_t>(other)] < bias[static_cast<std::size_t>(head)];
      });
    out.push_back(static_cast<double>(lower) / static_cast<double>(biases.size()));
  }
  return out;
}

/// Takes the heads that none of `heads` beats out of it, the lowest mean rank first.
std::vector<std::int64_t> peel(Biases biases, std::vector<std::int64_t>& heads) {
  std::vector<std::int64_t> front;
  for (const std::int64_t head : heads)
    if (std::ranges::none_of(heads, [&](std::int64_t other) { return beats(biases, other, head); }))
      front.push_back(head);
  std::erase_if(heads, [&](std::int64_t head) { return std::ranges::find(front, head) != front.end(); });
  const std::vector<double> ranks = mean_ranks(biases, front);
  std::vector<std::size_t> order(front.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return ranks[i]; });
  std::vector<std::int64_t> out;
  for (const std::size_t i : order) out.push_back(front[i]);
  return out;
}

}  // namespace

std::span<const Method> all_methods() {
  static constexpr std::array kAll{Method::Fasp,      Method::Performance, Method::Bias,
                                   Method::Magnitude, Method::Gradient,    Method::Random};
  return kAll;
}

std::optional<Method> method_from_string(std::string_view name) {
  for (const auto& [method, text] : kMethods)
    if (text == name) return method;
  return std::nullopt;
}

std::string_view to_string(Method method) { return kMethods[static_cast<std::size_t>(method)].second; }

std::vector<std::int64_t> select_fasp(std::span<const double> performance, std::span<const double> bias,
                                      double alpha, double gamma) {
  check_shares(performance, bias, gamma);
  const std::int64_t count = count_to_remove(bias.size(), alpha);
  if (count == 0) return {};
  const std::vector<std::int64_t> candidates = dispensable(performance, count, gamma);
  std::vector<double> of_candidates;
  for (const std::int64_t i : candidates) of_candidates.push_back(bias[static_cast<std::size_t>(i)]);
  const double threshold = nth_smallest(std::move(of_candidates), count);
  std::vector<std::int64_t> out;
  std::ranges::copy_if(candidates, std::back_inserter(out),
                       [&](std::int64_t i) { return bias[static_cast<std::size_t>(i)] <= threshold; });
  return out;
}

std::vector<std::int64_t> select_pareto(std::span<const double> performance,
                                        std::span<const std::vector<double>> biases, double alpha,
                                        double gamma) {
  if (biases.empty()) refuse("scores", "hold no bias");
  for (const std::vector<double>& bias : biases) check_shares(performance, bias, gamma);
  const std::int64_t count = count_to_remove(performance.size(), alpha);
  if (count == 0) return {};
  std::vector<std::int64_t> left = dispensable(performance, count, gamma), out;
  while (std::ssize(out) < count)
    for (const std::int64_t head : peel(biases, left))
      if (std::ssize(out) < count) out.push_back(head);
  std::ranges::sort(out);
  return out;
}

std::vector<std::int64_t> select_smallest(std::span<const double> scores, double alpha) {
  check_numbers(scores, "head");
  const std::int64_t count = count_to_remove(scores.size(), alpha);
  if (count == 0) return {};
  return at_most(scores, nth_smallest({scores.begin(), scores.end()}, count));
}

std::vector<std::int64_t> select_random(std::int64_t heads, double alpha, std::uint64_t seed) {
  const std::int64_t count = count_to_remove(static_cast<std::size_t>(heads), alpha);
  std::vector<std::int64_t> ids(static_cast<std::size_t>(heads));
  std::iota(ids.begin(), ids.end(), 0);
  std::mt19937_64 generator(seed);
  // The first places of a Fisher-Yates shuffle, written out: std::shuffle differs between standard libraries.
  for (std::int64_t i = 0; i < count; ++i) {
    const auto left = static_cast<std::uint64_t>(heads - i);
    const auto pick = static_cast<std::int64_t>(generator() % left);
    std::swap(ids[static_cast<std::size_t>(i)], ids[static_cast<std::size_t>(i + pick)]);
  }
  ids.resize(static_cast<std::size_t>(count));
  std::ranges::sort(ids);
  return ids;
}

}  // namespace pollard::pruning::fairness
