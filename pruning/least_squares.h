// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pollard::pruning {

/// Normal equations of Y = X W' + b, gathered in f64 from any number of row blocks.
/// X is [n, inputs], Y [n, outputs]; with `intercept` a column of ones is added.
class NormalEquations {
 public:
  NormalEquations(std::int64_t inputs, std::int64_t outputs, bool intercept);
  void add(const at::Tensor& x, const at::Tensor& y);

  /// The solution nearest to `weight` [outputs, inputs] and `bias` [outputs] (undefined without intercept) under
  /// ridge * mean diagonal of X'X: only what the data supports moves.
  struct Solution {
    at::Tensor weight, bias;
    double before = 0, after = 0;  ///< |Y - X W' - b| / |Y| with the given and with the new weights
  };
  Solution solve(const at::Tensor& weight, const at::Tensor& bias, double ridge) const;

  const at::Tensor& gram() const { return gram_; }  ///< X'X, f64

 private:
  double error(const at::Tensor& coefficients) const;

  bool intercept_;
  at::Tensor gram_, cross_;
  double target_norm_ = 0;
};

}  // namespace pollard::pruning
