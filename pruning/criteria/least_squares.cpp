// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/least_squares.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace pollard::pruning {
namespace {

constexpr std::array<std::pair<std::string_view, ErrorMetric>, 2> kMetrics{
    {{"local", ErrorMetric::Local}, {"output", ErrorMetric::Output}}};

/// Enough of a judged group to try swaps later.
struct Judged {
  std::vector<Consumer> consumers;
  std::shared_ptr<const Statistics> statistics;
};

}  // namespace

LeastSquares::LeastSquares(CriterionOptions& options)
    : metric(options.pick<ErrorMetric>("metric", kMetrics, ErrorMetric::Output)),
      loss(loss_from(options)),
      ridge(options.number("ridge", 1e-3)),
      swaps(options.integer("swaps", 4, 0)),
      rows(options.integer("rows", 1 << 17)),
      batch(options.integer("batch", 16)),
      memory(options.integer("memory", 2048)) {}

std::string LeastSquares::name() const {
  return fmt::format("least-squares:metric={},loss={},ridge={},swaps={},rows={},batch={},memory={}",
                     kMetrics[static_cast<std::size_t>(metric)].first, to_string(loss), ridge, swaps, rows,
                     batch, memory);
}

Scores LeastSquares::score(const ScoreContext& context) const {
  const std::size_t groups = context.dependencies.groups.size();
  Scores scores{.by_group = no_scores(context.dependencies),
                .additive = true,
                .unjudged = std::vector<std::string>(groups),
                .refine = {}};
  const auto judged = std::make_shared<std::vector<Judged>>(groups);
  const StatisticsOptions options{.full = true,
                                  .gradients = metric == ErrorMetric::Output,
                                  .loss = loss == Loss::Auto ? Loss::Noise : loss,
                                  .max_rows = rows,
                                  .batch = batch,
                                  .memory = memory};
  scores.notes.push_back(for_each_group(context, options, [&](const GroupStatistics& group) {
    if (!group.unjudged.empty()) {
      scores.unjudged[group.index] = group.unjudged;
      return;
    }
    std::vector<double>& out = scores.by_group[group.index];
    out.assign(group.units, 0);
    auto problems = consumer_problems(group.consumers, *group.statistics, ridge, metric);
    if (problems.empty()) {
      scores.unjudged[group.index] = "no layer that least squares knows reads it";
      return;
    }
    const auto order = BlockElimination(std::move(problems), group.units).remove_all();
    double floor = 0;  // a unit never counts less than one that left before it
    for (std::size_t k = 0; k < group.units; ++k)
      out[static_cast<std::size_t>(order.units[k])] = floor = std::max(floor, order.costs[k]);
    if (!context.stored) (*judged)[group.index] = {group.consumers, group.statistics};
  }));
  if (swaps > 0 && !context.stored)  // moments of stored networks are gone by then
    scores.refine = [judged, *this](std::size_t g, std::vector<std::int64_t> removed) {
      constexpr std::int64_t kWidest = 1024;
      const Judged& j = (*judged)[g];
      if (!j.statistics || removed.empty()) return removed;
      auto problems = consumer_problems(j.consumers, *j.statistics, ridge, metric);
      const std::size_t units = problems.front().columns.size();
      const bool wide =
          std::ranges::any_of(problems, [](const auto& p) { return p.weight.size(2) > kWidest; });
      if (wide || removed.size() == units) return removed;
      return BlockElimination(std::move(problems), units).swap(std::move(removed), static_cast<int>(swaps));
    };
  return scores;
}

}  // namespace pollard::pruning
