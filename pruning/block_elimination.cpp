// SPDX-License-Identifier: Apache-2.0
#include "pruning/block_elimination.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace pollard::pruning {
namespace {

at::Tensor indices(const std::vector<std::int64_t>& list) {
  return at::tensor(list, at::TensorOptions().dtype(at::kLong));
}

/// The square of `matrix` [batch, n, n] at these rows and columns.
at::Tensor square(const at::Tensor& matrix, const at::Tensor& at) {
  return matrix.index_select(1, at).index_select(2, at);
}

/// tr(W_b H_bb^-1 W_b') summed over the batch.
double block_cost(const at::Tensor& weight, const at::Tensor& inverse) {
  return (weight * at::linalg_solve(inverse, weight.transpose(1, 2)).transpose(1, 2)).sum().item<double>();
}

}  // namespace

BlockElimination::BlockElimination(std::vector<Problem> problems, std::size_t units) : gone_(units, false) {
  for (Problem& p : problems) {
    // Only W'W counts, so more outputs than columns are folded into a triangle.
    if (p.weight.size(1) > p.weight.size(2)) p.weight = std::get<1>(at::linalg_qr(p.weight, "r"));
    states_.push_back(
        {.inverse = std::move(p.inverse), .weight = std::move(p.weight), .columns = std::move(p.columns)});
  }
}

std::vector<std::int64_t> BlockElimination::columns_of(const State& state,
                                                       const std::vector<std::int64_t>& units) const {
  std::vector<std::int64_t> out;
  for (std::int64_t unit : units) {
    const auto& own = state.columns[static_cast<std::size_t>(unit)];
    out.insert(out.end(), own.begin(), own.end());
  }
  return out;
}

std::vector<double> BlockElimination::costs() const {
  std::vector<double> out(gone_.size(), 0);
  for (const State& state : states_) {
    std::map<std::size_t, std::vector<std::size_t>> by_width;  // units with equally many columns go together
    for (std::size_t unit = 0; unit < out.size(); ++unit)
      if (!gone_[unit] && !state.columns[unit].empty()) by_width[state.columns[unit].size()].push_back(unit);
    for (const auto& [width, units] : by_width) {
      const at::Tensor cost = costs_of(state, units, static_cast<std::int64_t>(width)).contiguous();
      for (std::size_t k = 0; k < units.size(); ++k) out[units[k]] += cost.const_data_ptr<double>()[k];
    }
  }
  for (std::size_t unit = 0; unit < out.size(); ++unit)
    if (gone_[unit]) out[unit] = std::numeric_limits<double>::infinity();
  return out;
}

// All blocks of one width at once: [units, width, width] of H and [units, o, width] of W.
at::Tensor BlockElimination::costs_of(const State& state, const std::vector<std::size_t>& units,
                                      std::int64_t width) {
  std::vector<std::int64_t> list;
  for (std::size_t unit : units)
    list.insert(list.end(), state.columns[unit].begin(), state.columns[unit].end());
  const auto count = static_cast<std::int64_t>(units.size());
  const at::Tensor own = indices(list), columns = own.view({count, width});
  const std::int64_t n = state.weight.size(2);
  const at::Tensor places = columns.unsqueeze(2) * n + columns.unsqueeze(1);
  at::Tensor sum = at::zeros({count}, at::kDouble);
  for (std::int64_t batch = 0; batch < state.weight.size(0); ++batch) {
    const at::Tensor blocks = at::take(state.inverse[batch].contiguous(), places);
    const at::Tensor w = state.weight[batch].index_select(1, own).view({-1, count, width}).transpose(0, 1);
    const at::Tensor solved =
        width == 1 ? w.transpose(1, 2) / blocks : at::linalg_solve(blocks, w.transpose(1, 2));
    sum += (w.transpose(1, 2) * solved).sum(at::IntArrayRef{1, 2});
  }
  return sum;
}

double BlockElimination::remove(const std::vector<std::int64_t>& units) {
  double cost = 0;
  for (State& state : states_) {
    const std::vector<std::int64_t> list = columns_of(state, units);
    if (list.empty()) continue;
    const at::Tensor own = indices(list), own_weight = state.weight.index_select(2, own);
    const at::Tensor rows = state.inverse.index_select(1, own), block = rows.index_select(2, own);
    const at::Tensor solved = at::linalg_solve(block, rows);  // H_bb^-1 H_b:
    cost += block_cost(own_weight, block);
    state.weight = state.weight - at::matmul(own_weight, solved);
    state.inverse = state.inverse - at::matmul(rows.transpose(1, 2), solved);
  }
  for (std::int64_t unit : units) gone_[static_cast<std::size_t>(unit)] = true;
  compact();
  return cost;
}

// Columns of removed units are dropped, so that later steps get cheaper.
void BlockElimination::compact() {
  for (State& state : states_) {
    std::vector<std::int64_t> kept, moved(static_cast<std::size_t>(state.weight.size(2)), -1);
    std::vector<bool> dropped(moved.size(), false);
    for (std::size_t unit = 0; unit < gone_.size(); ++unit)
      if (gone_[unit])
        for (std::int64_t column : state.columns[unit]) dropped[static_cast<std::size_t>(column)] = true;
    for (std::size_t column = 0; column < moved.size(); ++column)
      if (!dropped[column]) {
        moved[column] = static_cast<std::int64_t>(kept.size());
        kept.push_back(static_cast<std::int64_t>(column));
      }
    if (kept.size() == moved.size()) continue;
    const at::Tensor at = indices(kept);
    state.weight = state.weight.index_select(2, at);
    state.inverse = square(state.inverse, at);
    for (std::size_t unit = 0; unit < gone_.size(); ++unit) {
      if (gone_[unit]) state.columns[unit].clear();
      for (std::int64_t& column : state.columns[unit]) column = moved[static_cast<std::size_t>(column)];
    }
  }
}

// The block of H and W at some units evolves by itself while only they are removed.
BlockElimination BlockElimination::restricted(const std::vector<std::int64_t>& units) const {
  std::vector<Problem> problems;
  for (const State& state : states_) {
    const std::vector<std::int64_t> list = columns_of(state, units);
    if (list.empty()) continue;
    const at::Tensor own = indices(list);
    Problem p{.inverse = square(state.inverse, own),
              .weight = state.weight.index_select(2, own),
              .columns = std::vector<std::vector<std::int64_t>>(units.size())};
    std::int64_t next = 0;
    for (std::size_t k = 0; k < units.size(); ++k)
      for (std::size_t i = 0; i < state.columns[static_cast<std::size_t>(units[k])].size(); ++i)
        p.columns[k].push_back(next++);
    problems.push_back(std::move(p));
  }
  return {std::move(problems), units.size()};
}

BlockElimination::Order BlockElimination::remove_all() {
  Order order;
  while (order.units.size() < gone_.size()) {
    const std::vector<double> now = costs();
    std::vector<std::int64_t> cheapest(now.size());
    std::iota(cheapest.begin(), cheapest.end(), 0);
    std::ranges::stable_sort(cheapest, {}, [&](std::int64_t u) { return now[static_cast<std::size_t>(u)]; });
    const std::size_t left = gone_.size() - order.units.size();
    cheapest.resize(left > 128 ? left / 16 : 1);
    BlockElimination small = restricted(cheapest);
    for (std::size_t done = 0; done < cheapest.size(); ++done) {
      const std::vector<double> costs = small.costs();
      const auto best = std::ranges::min_element(costs) - costs.begin();
      order.units.push_back(cheapest[static_cast<std::size_t>(best)]);
      order.costs.push_back(std::max(0.0, costs[static_cast<std::size_t>(best)]));
      if (done + 1 < cheapest.size()) small.remove({best});
    }
    remove(cheapest);
  }
  return order;
}

// Of a removed set S, with M = (H_SS)^-1 and V = W_S M: giving unit r back saves tr(V_r M_rr^-1 V_r').
std::vector<double> BlockElimination::gains(const std::vector<std::int64_t>& removed) const {
  const BlockElimination part = restricted(removed);
  std::vector<double> out(removed.size(), 0);
  for (const State& state : part.states_) {
    const at::Tensor inverse = at::linalg_inv(state.inverse), scaled = at::matmul(state.weight, inverse);
    for (std::size_t k = 0; k < removed.size(); ++k) {
      if (state.columns[k].empty()) continue;
      const at::Tensor own = indices(state.columns[k]);
      out[k] += block_cost(scaled.index_select(2, own), square(inverse, own));
    }
  }
  return out;
}

std::vector<std::int64_t> BlockElimination::swap(std::vector<std::int64_t> removed, int most) const {
  constexpr std::size_t kTried = 4;  // the removed units whose return helps most
  for (int round = 0; round < most; ++round) {
    const std::vector<double> gain = gains(removed);
    std::vector<std::size_t> order(removed.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t k) { return gain[k]; });
    order.resize(std::min(order.size(), kTried));
    double best = 0;
    std::vector<std::int64_t> choice;
    for (std::size_t k : order) {
      std::vector<std::int64_t> rest = removed;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(k));
      BlockElimination without = *this;
      if (!rest.empty()) without.remove(rest);
      const std::vector<double> cost = without.costs();
      const auto cheapest = std::ranges::min_element(cost) - cost.begin();
      const double saved = gain[k] - cost[static_cast<std::size_t>(cheapest)];
      if (cheapest == removed[k] || saved <= std::max(best, 1e-9 * gain[k])) continue;
      best = saved;
      rest.push_back(cheapest);
      choice = std::move(rest);
    }
    if (choice.empty()) break;
    std::ranges::sort(choice);
    removed = std::move(choice);
  }
  return removed;
}

}  // namespace pollard::pruning
