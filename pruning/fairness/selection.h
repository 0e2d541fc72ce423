// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace pollard::pruning::fairness {

/// How the heads that go are chosen from one number a head and measure. Heads are numbered layer by layer.
enum class Method : std::uint8_t {
  Fasp,         ///< the least biased of those whose loss costs little
  Performance,  ///< those whose removal costs the least
  Bias,         ///< those whose removal leaves the least bias, whatever it costs
  Magnitude,    ///< those with the smallest weights
  Gradient,     ///< those whose mask the loss hardly feels
  Random        ///< any: what every other method has to beat
};
std::span<const Method> all_methods();
std::optional<Method> method_from_string(std::string_view name);
std::string_view to_string(Method method);

/// Fairness-Aware Structured Pruning (Zayed et al., AAAI 2024, arXiv 2312.15398). `performance` and `bias` are what is
/// measured after the removal of one head each: a high performance score (a perplexity) marks a head that matters, a
/// low bias score one whose removal helps. Of N heads, n = floor(N alpha) go at once:
///
///     the floor(N gamma) heads with the highest performance scores are kept whatever their bias; of the others
///     those go whose bias score is at most the n-th smallest among them.
///
/// Equal scores at a threshold go together, so ties can remove more than n. Sorted.
/// Throws UserError E0430 when more heads are to go than gamma leaves to choose from, E0203 for scores of different
/// length, a score that is not a number, alpha outside [0, 1] or gamma outside [0, 1).
std::vector<std::int64_t> select_fasp(std::span<const double> performance, std::span<const double> bias,
                                      double alpha, double gamma);

/// FASP for several kinds of bias at once, without weighing one against another: of the heads gamma leaves, those go
/// first that no other one beats (as low in every bias and lower in one), then those that only these beat, and so on
/// (non-dominated sorting: Deb et al., NSGA-II, IEEE Trans. Evol. Comput. 2002). Within the layer of the sorting where the
/// n-th lies, the lowest mean rank over the biases goes first, then the lower number: exactly n go. `biases`: by axis, by
/// head. Of one axis it takes the same heads as select_fasp, ties aside. Sorted. Throws as select_fasp().
std::vector<std::int64_t> select_pareto(std::span<const double> performance,
                                        std::span<const std::vector<double>> biases, double alpha,
                                        double gamma);

/// The baselines' rule: every head whose score is at most the n-th smallest, n = floor(N alpha). Sorted.
std::vector<std::int64_t> select_smallest(std::span<const double> scores, double alpha);

/// floor(heads * alpha) of `heads`, drawn without replacement from the seed. Sorted.
std::vector<std::int64_t> select_random(std::int64_t heads, double alpha, std::uint64_t seed);

}  // namespace pollard::pruning::fairness
