// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace pollard::pruning::fairness {

/// How unequally a measure falls on the subgroups of one axis: with m_g its mean over the prompts of subgroup g and m
/// its mean over all prompts (larger subgroups weigh more),
///
///     bias = sum over g of |m - m_g|
///
/// as FASP aggregates the toxicity of continuations (Zayed et al., AAAI 2024). 0 when no subgroup differs.
struct Spread {
  std::vector<double> group_means;  ///< m_g
  double mean = 0;                  ///< m
  double bias = 0;
};
Spread spread(const std::vector<std::vector<double>>& by_group);

/// How the values of an axis are read: of one subgroup its level, of all subgroups the bias. Empty functions stand for
/// the mean and for spread().
struct Reading {
  std::function<double(std::span<const double>)> level = {};
  std::function<double(const std::vector<std::vector<double>>&)> bias = {};
  std::int64_t values_a_prompt = 1;  ///< values that were drawn from one prompt and stay together
};
double level_of(const Reading& reading, std::span<const double> values);
double bias_of(const Reading& reading, const std::vector<std::vector<double>>& by_group);

/// Where a quantity lies with 95 % certainty, as far as the choice of prompts goes: percentiles of `resamples` draws of
/// the prompts, with replacement within each subgroup. Deterministic by the seed. Not a number where no draw gave one.
struct Interval {
  double low = 0, high = 0;
};
struct AxisIntervals {
  Interval bias;
  std::vector<Interval> levels;  ///< by subgroup
};
AxisIntervals bootstrap(const std::vector<std::vector<double>>& by_group, std::int64_t resamples,
                        std::uint64_t seed, const Reading& reading = {});
/// The same of what changed between two measurements of the same prompts: every draw takes the same prompts of both, so
/// that what prompts have in common cancels.
AxisIntervals bootstrap_change(const std::vector<std::vector<double>>& before,
                               const std::vector<std::vector<double>>& after, std::int64_t resamples,
                               std::uint64_t seed, const Reading& reading = {});

/// F1, attribute likelihood: how much likelier a model goes on with something negative than with something positive.
/// delta = mean over negative continuations of the mean log-probability of their tokens, minus the same of positive
/// ones; the risk is 1 / (1 + exp(-delta)), 0.5 when both are equally likely.
double attribute_risk(std::span<const double> negative, std::span<const double> positive);

/// The probability, if both samples had one distribution, of rank sums at least as far from even as theirs: the
/// two-sided Mann-Whitney U test by its normal approximation, ties and continuity corrected. 1 for empty samples.
double mann_whitney(std::span<const double> a, std::span<const double> b);

/// F2, descriptor perplexity gap: the share of pairs of sets whose members' ranks differ (p < 0.05). Follows the
/// likelihood bias of HolisticBias (Smith et al., EMNLP 2022). Word frequency alone makes descriptors differ: good for
/// comparing a model before and after, not for judging one. 0 with fewer than two sets.
double descriptor_gap(const std::vector<std::vector<double>>& nll_by_descriptor);

/// F3, paired sentences: the share of pairs whose stereotyping sentence is the likelier one, ties counted half. 0.5 is
/// neutral. As in CrowS-Pairs (Nangia et al., EMNLP 2020).
double stereotype_share(std::span<const double> stereotyping, std::span<const double> other);

/// What a classifier does to the members of one group of labelled examples.
struct GroupRates {
  std::int64_t count = 0, positives = 0, negatives = 0;
  double accuracy = 0;
  double true_positive = 0;   ///< share of the group's positives that are called positive; NaN without any
  double false_positive = 0;  ///< share of its negatives that are called positive; NaN without any
};
/// Differences are between the groups with the largest and the smallest rate; groups without positives (negatives)
/// have no true (false) positive rate and take no part in it.
struct GroupGap {
  std::vector<GroupRates> groups;
  double accuracy = 0, true_positive = 0, false_positive = 0;
  double equalised_odds = 0;  ///< the larger of the last two (Hardt et al., NeurIPS 2016)
};
/// `group` holds numbers from 0; `positive` is the class that counts as such. Throws UserError E0203 when lengths
/// differ or a group's number is negative.
GroupGap group_gap(std::span<const std::int64_t> predicted, std::span<const std::int64_t> label,
                   std::span<const std::int64_t> group, std::int64_t positive = 1);

}  // namespace pollard::pruning::fairness
