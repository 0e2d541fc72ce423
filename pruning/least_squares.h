// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "pruning/shared_work.h"

namespace pollard::pruning {

/// Normal equations of Y = X W' + b, gathered in f64 from any number of row blocks.
/// X is [n, inputs], Y [n, outputs]; with `intercept` a column of ones is added.
class NormalEquations {
 public:
  NormalEquations(std::int64_t inputs, std::int64_t outputs, bool intercept);
  void add(const at::Tensor& x, const at::Tensor& y);
  void add(const NormalEquations& other);
  /// Of rows that processes share: makes the equations of all rows of each process's own.
  void sum(const SharedWork& work);

  /// The solution nearest to `weight` [outputs, inputs] and `bias` [outputs] (undefined without intercept) under
  /// ridge * mean diagonal of X'X: only what the data supports moves.
  struct Solution {
    at::Tensor weight, bias;
    double before = 0, after = 0;  ///< |Y - X W' - b| / |Y| with the given and with the new weights
  };
  Solution solve(const at::Tensor& weight, const at::Tensor& bias, double ridge) const;

  /// |Y - X W' - b| / |Y| over these rows.
  double error(const at::Tensor& weight, const at::Tensor& bias) const;
  std::int64_t rows() const { return rows_; }

 private:
  at::Tensor coefficients(const at::Tensor& weight, const at::Tensor& bias) const;
  double error(const at::Tensor& coefficients) const;

  bool intercept_;
  at::Tensor gram_, cross_;
  double target_norm_ = 0;
  std::int64_t rows_ = 0;
};

/// Normal equations that choose their ridge: of every block of rows the last eighth is held out, the strength whose solution
/// of the others leaves it the least error is taken, and all rows are solved with it. Blocks hold whole samples in order,
/// so that rows of one sample, which are alike, are rarely on both sides.
class ValidatedEquations {
 public:
  ValidatedEquations(std::int64_t inputs, std::int64_t outputs, bool intercept)
      : fitted_(inputs, outputs, intercept), held_(inputs, outputs, intercept) {}
  void add(const at::Tensor& x, const at::Tensor& y) { add(x, y, {.first = 0, .all = x.size(0)}); }
  /// Where processes share a block, each adds its rows and where in the block they lie; then all call sum().
  void add(const at::Tensor& x, const at::Tensor& y, SharedWork::Place place);
  void sum(const SharedWork& work);
  /// `ridge` is one of the strengths tried, beside 0.1, 10 and 100 times as much; alone where nothing could be held out.
  NormalEquations::Solution solve(const at::Tensor& weight, const at::Tensor& bias, double ridge) const;

 private:
  NormalEquations fitted_, held_;
};

}  // namespace pollard::pruning
