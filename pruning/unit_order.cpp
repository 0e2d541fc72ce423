// SPDX-License-Identifier: Apache-2.0
#include "pruning/unit_order.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/error.h"

namespace pollard::pruning {
namespace {

[[noreturn]] void refuse_nonfinite() {
  throw UserError(
      {.code = "E0325",
       .exit = Exit::BadFile,
       .subject = "scores",
       .message = "a unit has no finite score",
       .where = {},
       .why = "the weights hold NaN or infinite values",
       .help = "look for them with: pollard inspect FILE; --allow-nonfinite keeps such units whole"});
}

/// Which groups may lose units at all: no others need judging.
std::vector<bool> wanted_groups(const graph::Dependencies& d, const std::vector<Class>& classes) {
  std::vector<bool> out(d.groups.size(), false);
  for (const Class& c : classes)
    for (std::int32_t g : c.groups) out[static_cast<std::size_t>(g)] = c.takes_part();
  return out;
}

}  // namespace

UnitOrder::UnitOrder(const models::Model& model, const graph::Dependencies& d, const PlanOptions& options,
                     const Evidence& evidence, std::vector<Class>& classes)
    : scores_(score(*make_criterion(options.criterion), {.model = model,
                                                         .dependencies = d,
                                                         .seed = options.seed,
                                                         .calibration = evidence.calibration,
                                                         .stored = evidence.stored,
                                                         .wanted = wanted_groups(d, classes)})) {
  keep_unjudged_whole(classes);
  sort_units(options.allow_nonfinite);
  if (options.allow_nonfinite) keep_nonfinite_whole(classes);
}

void UnitOrder::keep_unjudged_whole(std::vector<Class>& classes) const {
  for (Class& c : classes)
    for (std::int32_t g : c.groups)
      if (const std::string why = scores_.why_unjudged(static_cast<std::size_t>(g));
          c.kept_whole.empty() && !why.empty())
        c.kept_whole = why;
}

void UnitOrder::sort_units(bool allow_nonfinite) {
  for (std::vector<double>& scores : scores_.by_group) {
    std::vector<std::int64_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    for (double& score : scores) {
      if (std::isfinite(score)) continue;
      if (!allow_nonfinite) refuse_nonfinite();
      score = INFINITY;  // NaN has no place in an order
    }
    std::ranges::stable_sort(order, {}, [&](std::int64_t i) { return scores[static_cast<std::size_t>(i)]; });
    order_.push_back(std::move(order));
  }
}

void UnitOrder::keep_nonfinite_whole(std::vector<Class>& classes) const {
  for (Class& c : classes) {
    for (std::int32_t g : c.groups)
      c.removable = std::min<std::int64_t>(
          c.removable, std::ranges::count_if(scores_.by_group[static_cast<std::size_t>(g)],
                                             [](double score) { return std::isfinite(score); }));
    c.removable = whole_steps(c, c.removable);
    if (c.removable == 0 && c.kept_whole.empty()) c.kept_whole = "too few units have a finite score";
  }
}

double UnitOrder::unit_score(const Class& c, std::int64_t k) const {
  double sum = 0;
  for (std::int32_t g : c.groups) {
    const auto group = static_cast<std::size_t>(g);
    sum += scores_.by_group[group][static_cast<std::size_t>(order_[group][static_cast<std::size_t>(k)])];
  }
  return sum / static_cast<double>(c.groups.size());
}

double UnitOrder::summed_score(const Class& c, std::int64_t units) const {
  double sum = 0;
  for (std::int64_t k = 0; k < units; ++k) sum += unit_score(c, k);
  return sum * static_cast<double>(c.groups.size());
}

std::vector<std::int64_t> UnitOrder::first(std::int32_t group, std::int64_t units) const {
  const auto at = static_cast<std::size_t>(group);
  std::vector<std::int64_t> removed(order_[at].begin(),
                                    order_[at].begin() + static_cast<std::ptrdiff_t>(units));
  std::ranges::sort(removed);
  return scores_.refine && !removed.empty() ? scores_.refine(at, std::move(removed)) : removed;
}

}  // namespace pollard::pruning
