// SPDX-License-Identifier: Apache-2.0
#include "pruning/refit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "pruning/least_squares.h"

namespace pollard::pruning {
namespace {

/// Most elements of the unfolded inputs that exist at once.
constexpr std::int64_t kUnfoldedElements = std::int64_t{1} << 24;

/// The refits of a convolution's groups, as one.
Refit joined(const std::vector<NormalEquations>& equations, const at::Tensor& weight, const at::Tensor& bias,
             double ridge) {
  const auto groups = static_cast<std::int64_t>(equations.size());
  const std::int64_t out = weight.size(0) / groups;
  std::vector<at::Tensor> weights, biases;
  Refit result;
  for (std::int64_t g = 0; g < groups; ++g) {
    const auto solution = equations[static_cast<std::size_t>(g)].solve(
        weight.slice(0, g * out, (g + 1) * out).reshape({out, -1}),
        bias.defined() ? bias.slice(0, g * out, (g + 1) * out) : bias, ridge);
    weights.push_back(solution.weight);
    if (bias.defined()) biases.push_back(solution.bias);
    result.before = std::max(result.before, solution.before);
    result.after = std::max(result.after, solution.after);
  }
  result.weight = at::cat(weights, 0);
  if (bias.defined()) result.bias = at::cat(biases, 0);
  return result;
}

double relative(const at::Tensor& difference, const at::Tensor& target) {
  const double norm = target.square().sum().item<double>();
  return norm > 0 ? std::sqrt(difference.square().sum().item<double>() / norm) : 0.0;
}

}  // namespace

at::Tensor thinned(const at::Tensor& rows, std::int64_t most) {
  const std::int64_t step = (rows.size(0) + most - 1) / std::max<std::int64_t>(1, most);
  return step <= 1 ? rows : rows.slice(0, 0, rows.size(0), step);
}

Refit refit_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   const at::Tensor& target, const RefitOptions& options) {
  NormalEquations equations(weight.size(1), weight.size(0), bias.defined());
  equations.add(thinned(x.reshape({-1, weight.size(1)}), options.max_rows),
                thinned(target.reshape({-1, weight.size(0)}), options.max_rows));
  const auto solution = equations.solve(weight, bias, options.ridge);
  return {
      .weight = solution.weight, .bias = solution.bias, .before = solution.before, .after = solution.after};
}

Refit refit_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        const at::Tensor& target, const ConvolutionShape& shape,
                        const RefitOptions& options) {
  const std::vector<std::int64_t> kernel{weight.size(2), weight.size(3)};
  const std::int64_t groups = shape.groups, out = weight.size(0) / groups,
                     in = weight.size(1) * kernel[0] * kernel[1];
  const std::int64_t positions = target.size(2) * target.size(3);
  const std::int64_t per_block = std::max<std::int64_t>(1, kUnfoldedElements / (positions * in * groups));
  const std::int64_t blocks = (x.size(0) + per_block - 1) / per_block,
                     most = std::max<std::int64_t>(64, options.max_rows / blocks);
  std::vector<NormalEquations> equations;
  for (std::int64_t g = 0; g < groups; ++g) equations.emplace_back(in, out, bias.defined());
  for (std::int64_t first = 0; first < x.size(0); first += per_block) {
    const std::int64_t last = std::min(x.size(0), first + per_block);
    const at::Tensor columns = at::im2col(x.slice(0, first, last), kernel, shape.dilation, shape.padding,
                                          shape.stride);  // [n, C k, L]
    const at::Tensor wanted = target.slice(0, first, last).flatten(2);
    for (std::int64_t g = 0; g < groups; ++g) {
      const at::Tensor rows = columns.slice(1, g * in, (g + 1) * in).transpose(1, 2).reshape({-1, in});
      const at::Tensor y = wanted.slice(1, g * out, (g + 1) * out).transpose(1, 2).reshape({-1, out});
      equations[static_cast<std::size_t>(g)].add(thinned(rows, most), thinned(y, most));
    }
  }
  return joined(equations, weight, bias, options.ridge);
}

// Two unknowns a channel: the normal equations of (n, 1), solved in closed form, near the old values.
Refit refit_affine(const at::Tensor& normalised, const at::Tensor& weight, const at::Tensor& bias,
                   const at::Tensor& target, const RefitOptions& options) {
  const at::Tensor n = thinned(normalised, options.max_rows).to(at::kDouble),
                   y = thinned(target, options.max_rows).to(at::kDouble);
  const at::Tensor w = weight.detach().to(at::kDouble).reshape({-1});
  const at::Tensor b = bias.defined() ? bias.detach().to(at::kDouble).reshape({-1}) : at::zeros_like(w);
  const at::Tensor residual = y - n * w - b;
  const auto rows = static_cast<double>(n.size(0));
  const at::Tensor nn = n.square().sum(0), nr = (n * residual).sum(0);
  Refit out{.weight = {}, .bias = {}, .before = relative(residual, y)};
  if (!bias.defined()) {
    out.weight = w + nr / (nn * (1 + options.ridge)).clamp_min(1e-30);
    out.after = relative(y - n * out.weight, y);
    return out;
  }
  const at::Tensor strength = options.ridge * (nn + rows) / 2;
  const at::Tensor a = nn + strength, c = rows + strength, s = n.sum(0), r = residual.sum(0);
  const at::Tensor determinant = (a * c - s * s).clamp_min(1e-30);
  out.weight = w + (c * nr - s * r) / determinant;
  out.bias = b + (a * r - s * nr) / determinant;
  out.after = relative(y - n * out.weight - out.bias, y);
  return out;
}

}  // namespace pollard::pruning
