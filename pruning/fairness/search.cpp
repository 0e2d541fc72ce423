// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/search.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "pruning/rewrite.h"

namespace pollard::pruning::fairness {
namespace {

/// A share that selects exactly `count` of `units`, whatever the product rounds to.
double share_for(std::int64_t count, std::size_t units) {
  return std::min(1.0, (static_cast<double>(count) + 0.5) / static_cast<double>(units));
}

double total_bias(const std::vector<AxisBias>& axes, const Scoreboard& board, const Choice& choice) {
  if (axes.size() == 1) return axes.front().bias;
  double sum = 0;
  for (std::size_t a = 0; a < axes.size(); ++a) {
    const double scale = board.bias_whole[a] > 0 ? board.bias_whole[a] : 1;
    sum += (choice.axis_weights.empty() ? 1 : choice.axis_weights[a]) * axes[a].bias / scale;
  }
  return sum;
}

/// Units that are left and are not the last of their group.
std::vector<std::int64_t> candidates(const std::vector<Unit>& units, const graph::Dependencies& d,
                                     const std::vector<std::int64_t>& removed) {
  std::map<std::int32_t, std::int64_t> lost;
  for (const std::int64_t i : removed) ++lost[units[static_cast<std::size_t>(i)].group];
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < std::ssize(units); ++i) {
    const Unit& u = units[static_cast<std::size_t>(i)];
    const graph::AxisIndex axis = d.groups[static_cast<std::size_t>(u.group)].axis;
    const bool last = lost[u.group] + 1 >= d.axes[static_cast<std::size_t>(axis)].size;
    if (!last && std::ranges::find(removed, i) == removed.end()) out.push_back(i);
  }
  return out;
}

void mark_front(std::vector<Outcome>& outcomes) {
  std::vector<std::vector<double>> points;
  for (const Outcome& o : outcomes) {
    points.push_back(o.choice.pareto ? o.by_axis : std::vector{o.bias});
    points.back().push_back(o.performance);
    points.back().push_back(static_cast<double>(o.parameters));
  }
  const std::vector<bool> front = pareto_front(points);
  for (std::size_t i = 0; i < outcomes.size(); ++i) outcomes[i].front = front[i];
}

std::vector<Unit> pick(const std::vector<Unit>& units, const std::vector<std::int64_t>& ids) {
  std::vector<Unit> out;
  for (const std::int64_t i : ids) out.push_back(units[static_cast<std::size_t>(i)]);
  return out;
}

/// What performance may become, and whether it does.
class Floor {
 public:
  Floor(const models::Model& model, const graph::Dependencies& d, const Scoreboard& board,
        const PerformanceMetric& performance, double slack)
      : model_(model),
        d_(d),
        board_(board),
        performance_(performance),
        whole_(measure(model, performance.probe())) {
    const double now = performance.judge(whole_, whole_);
    limit_ = std::abs(now) < kZero ? slack : now * (1 + slack);
  }
  bool held_without(const std::vector<std::int64_t>& chosen) const {
    models::io::throw_if_cancelled();
    const Plan plan = plan_for(model_, d_, board_, chosen, {});
    const at::Tensor numbers = measure(prune(model_, d_, plan.removal), performance_.probe());
    return performance_.judge(numbers, whole_) <= limit_;
  }

 private:
  static constexpr double kZero = 1e-9;  // a shift from itself, but for rounding

  const models::Model& model_;
  const graph::Dependencies& d_;
  const Scoreboard& board_;
  const PerformanceMetric& performance_;
  at::Tensor whole_;
  double limit_ = 0;
};

}  // namespace

std::vector<std::int64_t> choose_within(const models::Model& model, const graph::Dependencies& d,
                                        const Scoreboard& board, const Choice& choice,
                                        const PerformanceMetric& performance, double slack) {
  const Floor floor(model, d, board, performance, slack);
  auto count = static_cast<std::int64_t>(static_cast<double>(board.units.size()) * choice.alpha);
  for (Choice fewer = choice; count > 0; fewer.alpha = share_for(--count, board.units.size())) {
    std::vector<std::int64_t> chosen = choose(board, fewer);
    if (floor.held_without(chosen)) return chosen;
  }
  return {};
}

std::vector<std::int64_t> cut_to_floor(const models::Model& model, const graph::Dependencies& d,
                                       const Scoreboard& board, std::vector<std::int64_t> order,
                                       const PerformanceMetric& performance, double slack) {
  const Floor floor(model, d, board, performance, slack);
  while (!order.empty() && !floor.held_without(order)) order.pop_back();
  return order;
}

std::vector<std::int64_t> choose_greedily(const models::Model& model, const graph::Dependencies& d,
                                          const std::vector<Unit>& units,
                                          const PerformanceMetric& performance, const BiasMetric& bias,
                                          const Choice& choice,
                                          const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const auto count = static_cast<std::int64_t>(static_cast<double>(units.size()) * choice.alpha);
  std::vector<std::int64_t> removed;
  while (std::ssize(removed) < count) {
    const std::vector<std::int64_t> left = candidates(units, d, removed);
    if (left.empty()) break;
    const Knockout knockout(model, d, pick(units, left), std::nullopt, pick(units, removed));
    Choice next = choice;
    next.alpha = share_for(1, left.size());
    const std::vector<std::int64_t> best = choose(score_units(knockout, d, performance, bias), next);
    removed.push_back(left[static_cast<std::size_t>(best.front())]);
    if (progress) progress(std::ssize(removed), count);
  }
  return removed;
}

std::vector<Outcome> outcomes(const models::Model& model, const graph::Dependencies& d,
                              const Scoreboard& board, const std::vector<Choice>& choices,
                              const PerformanceMetric& performance, const BiasMetric& bias,
                              const std::function<void(std::int64_t, std::int64_t)>& progress) {
  std::vector<Outcome> out;
  const Standing whole = stand(model, performance, bias);
  std::map<std::vector<std::vector<std::int64_t>>, Outcome> known;  // many choices choose the same units
  const auto add = [&](const Choice& choice, const std::vector<std::int64_t>& chosen) {
    const Plan plan = plan_for(model, d, board, chosen, choice);
    auto [entry, fresh] = known.try_emplace(plan.removal.removed);
    if (fresh) {
      const Standing s = stand(prune(model, d, plan.removal), performance, bias, whole.performance_numbers);
      entry->second = {.choice = choice,
                       .removed = 0,
                       .performance = s.performance,
                       .bias = total_bias(s.bias, board, choice),
                       .by_axis = {},
                       .parameters = plan.after.parameters,
                       .macs = plan.after.macs};
      for (const AxisBias& axis : s.bias) entry->second.by_axis.push_back(axis.bias);
      for (const auto& units : plan.removal.removed) entry->second.removed += std::ssize(units);
    }
    out.push_back(entry->second);
    out.back().choice = choice;
  };
  Choice nothing;
  nothing.alpha = 0;
  if (!choices.empty()) {
    nothing.axis_weights = choices.front().axis_weights;
    nothing.pareto = choices.front().pareto;
  }
  add(nothing, {});
  for (std::int64_t done = 0; const Choice& choice : choices) {
    try {
      add(choice, choose(board, choice));
    } catch (const UserError& error) {
      if (error.parts().code != "E0430") throw;
    }
    models::io::throw_if_cancelled();
    if (progress) progress(++done, std::ssize(choices));
  }
  mark_front(out);
  return out;
}

std::vector<Choice> published_grid(const Scoreboard& board, const Choice& common, std::int64_t random_seeds) {
  std::vector<Choice> out;
  for (int step = 1; step <= 10; ++step) {
    Choice base = common;
    base.method = Method::Fasp;
    base.alpha = step / 50.0;
    for (int gamma = 2; gamma <= 7; ++gamma) {
      out.push_back(base);
      out.back().gamma = gamma / 10.0;
    }
    for (const Method method : {Method::Performance, Method::Bias, Method::Magnitude, Method::Gradient}) {
      const bool needs = method == Method::Magnitude || method == Method::Gradient;
      if (needs && !board.baselines.contains(std::string(to_string(method)))) continue;
      out.push_back(base);
      out.back().method = method;
    }
    for (std::int64_t seed = 0; seed < random_seeds; ++seed) {
      out.push_back(base);
      out.back().method = Method::Random;
      out.back().seed = static_cast<std::uint64_t>(seed);
    }
  }
  return out;
}

}  // namespace pollard::pruning::fairness
