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
  rows_ += x.size(0);
}

void NormalEquations::sum(const SharedWork& work) {
  if (!work.split()) return;
  at::Tensor all = at::cat({gram_.flatten(), cross_.flatten(),
                            at::tensor({target_norm_, static_cast<double>(rows_)}, at::kDouble)});
  work.sum(all);
  const std::int64_t squares = gram_.numel(), both = squares + cross_.numel();
  gram_ = all.slice(0, 0, squares).view(gram_.sizes());
  cross_ = all.slice(0, squares, both).view(cross_.sizes());
  target_norm_ = all[both].item<double>();
  rows_ = std::llround(all[both + 1].item<double>());
}

void NormalEquations::add(const NormalEquations& other) {
  gram_ = gram_ + other.gram_;
  cross_ = cross_ + other.cross_;
  target_norm_ += other.target_norm_;
  rows_ += other.rows_;
}

at::Tensor NormalEquations::coefficients(const at::Tensor& weight, const at::Tensor& bias) const {
  const at::Tensor out = weight.detach().to(at::kDouble).t();
  return intercept_ ? at::cat({out, bias.detach().to(at::kDouble).view({1, -1})}, 0) : out;
}

double NormalEquations::error(const at::Tensor& weight, const at::Tensor& bias) const {
  return error(coefficients(weight, bias));
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
  const at::Tensor start = coefficients(weight, bias);
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

void ValidatedEquations::add(const at::Tensor& x, const at::Tensor& y, SharedWork::Place place) {
  const std::int64_t kept = std::clamp<std::int64_t>(place.all - place.all / 8 - place.first, 0, x.size(0));
  if (kept > 0) fitted_.add(x.slice(0, 0, kept), y.slice(0, 0, kept));
  if (kept < x.size(0)) held_.add(x.slice(0, kept), y.slice(0, kept));
}

void ValidatedEquations::sum(const SharedWork& work) {
  fitted_.sum(work);
  held_.sum(work);
}

NormalEquations::Solution ValidatedEquations::solve(const at::Tensor& weight, const at::Tensor& bias,
                                                    double ridge) const {
  double best = ridge, least = INFINITY;
  if (held_.rows() > 0)
    for (const double factor : {1.0, 0.1, 10.0, 100.0}) {
      const NormalEquations::Solution tried = fitted_.solve(weight, bias, ridge * factor);
      const double error = held_.error(tried.weight, tried.bias);
      if (error < least) least = error, best = ridge * factor;
    }
  NormalEquations all = fitted_;
  all.add(held_);
  return all.solve(weight, bias, best);
}

}  // namespace pollard::pruning
