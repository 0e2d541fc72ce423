// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace pollard::pruning {

/// Columns of one or several least-squares problems min |Y - X W'|, removed block by block with what is left refitted.
/// With H = (X'X / n)^-1 of all columns, block b costs exactly
///
///     tr(W_b (H_bb)^-1 W_b'),   then   W <- W - W_b (H_bb)^-1 H_b:,   H <- H - H_:b (H_bb)^-1 H_b:
///
/// leave the refitted weights and the inverse of the rest (Hassibi & Stork, Optimal Brain Surgeon, NIPS 1992; blocks as
/// in SlimGPT, Ling et al., NeurIPS 2024). Removing n columns one by one costs O(n^3) in all. Problems share their
/// units; a unit may own columns in some of them only. Everything is f64.
class BlockElimination {
 public:
  struct Problem {
    at::Tensor inverse;  ///< H [batch, n, n], symmetric positive definite
    at::Tensor weight;   ///< W [batch, o, n], scaled so that costs are on the wanted scale
    std::vector<std::vector<std::int64_t>> columns;  ///< [unit][k]
  };
  BlockElimination(std::vector<Problem> problems, std::size_t units);

  /// The order in which all units go, cheapest first and each re-scored after the ones before it, with what each costs
  /// at that time. Above 128 units a 16th of what is left is taken from the list before the full matrices are updated;
  /// within that share costs stay exact, only which units are in it is decided before. Consumes the state.
  struct Order {
    std::vector<std::int64_t> units;
    std::vector<double> costs;
  };
  Order remove_all();

  /// What each remaining unit would cost now; infinite for those removed.
  std::vector<double> costs() const;
  /// Removes these units together and returns what that costs.
  double remove(const std::vector<std::int64_t>& units);

  /// Whether exchanging a removed unit for a kept one lowers the cost of `removed` (sorted), and which exchange: at most
  /// `most` of them, the best found each time (OSSCAR, Meng et al., ICML 2024). State must be untouched.
  std::vector<std::int64_t> swap(std::vector<std::int64_t> removed, int most) const;

 private:
  struct State {
    at::Tensor inverse, weight;
    std::vector<std::vector<std::int64_t>> columns;
  };
  static at::Tensor costs_of(const State& state, const std::vector<std::size_t>& units, std::int64_t width);
  std::vector<std::int64_t> columns_of(const State& state, const std::vector<std::int64_t>& units) const;
  BlockElimination restricted(const std::vector<std::int64_t>& units) const;
  std::vector<double> gains(const std::vector<std::int64_t>& removed) const;
  void compact();

  std::vector<State> states_;
  std::vector<bool> gone_;
};

}  // namespace pollard::pruning
