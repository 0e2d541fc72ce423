// SPDX-License-Identifier: Apache-2.0
#include "pruning/least_squares.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace pollard::pruning {

NormalEquations::NormalEquations(std::int64_t inputs, std::int64_t outputs, bool intercept)
    : intercept_(intercept),
      gram_(at::zeros({inputs + intercept, inputs + intercept}, at::kDouble)),
      cross_(at::zeros({inputs + intercept, outputs}, at::kDouble)) {}

void NormalEquations::add(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor rows = intercept_ ? at::cat({x, at::ones({x.size(0), 1}, x.options())}, 1) : x;
  // Products of a block in the data's own precision, sums over blocks in f64.
  gram_ += at::mm(rows.t(), rows).to(at::kDouble);
  cross_ += at::mm(rows.t(), y).to(at::kDouble);
  target_norm_ += y.to(at::kDouble).square().sum().item<double>();
}

// |Y - X B|^2 = |Y|^2 - 2 <B, X'Y> + <B, X'X B>
double NormalEquations::error(const at::Tensor& b) const {
  if (target_norm_ <= 0) return 0;
  const double square =
      target_norm_ - 2 * (b * cross_).sum().item<double>() + (b * at::mm(gram_, b)).sum().item<double>();
  return std::sqrt(std::max(0.0, square) / target_norm_);
}

NormalEquations::Solution NormalEquations::solve(const at::Tensor& weight, const at::Tensor& bias,
                                                 double ridge) const {
  at::Tensor start = weight.detach().to(at::kDouble).t();
  if (intercept_) start = at::cat({start, bias.detach().to(at::kDouble).view({1, -1})}, 0);
  const at::Tensor diagonal = gram_.diagonal();
  const double strength = ridge * std::max(diagonal.mean().item<double>(), 1e-30);
  at::Tensor system = gram_.clone();
  system.diagonal().add_(strength);
  const at::Tensor residual = cross_ - at::mm(gram_, start);
  const at::Tensor solved = start + at::linalg_solve(system, residual);
  Solution out;
  const std::int64_t inputs = gram_.size(0) - (intercept_ ? 1 : 0);
  out.weight = solved.slice(0, 0, inputs).t().contiguous();
  if (intercept_) out.bias = solved.select(0, inputs).contiguous();
  out.before = error(start);
  out.after = error(solved);
  return out;
}

}  // namespace pollard::pruning
