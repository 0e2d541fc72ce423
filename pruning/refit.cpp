// SPDX-License-Identifier: Apache-2.0
#include "pruning/refit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "pruning/contractions.h"
#include "pruning/least_squares.h"

namespace pollard::pruning {
namespace {

/// Most elements of the unfolded inputs that exist at once.
constexpr std::int64_t kUnfoldedElements = std::int64_t{1} << 24;

at::TensorOptions whole() { return at::TensorOptions().dtype(at::kLong); }

/// Which of a process's rows a layer is fitted on.
struct FittedRows {
  at::Tensor own;           ///< their numbers among this process's, ascending
  bool every = false;       ///< all of them
  SharedWork::Place place;  ///< the first of them among the fitted rows of all processes

  at::Tensor of(const at::Tensor& rows) const { return every ? rows : rows.index_select(0, own); }
  /// Those of [begin, end) of all fitted rows that are this process's.
  at::Tensor between(std::int64_t begin, std::int64_t end) const {
    const auto near = [&](std::int64_t at) {
      return std::clamp<std::int64_t>(at - place.first, 0, own.size(0));
    };
    return own.slice(0, near(begin), near(end));
  }
};

/// At most RefitOptions::max_rows of the rows of all processes, of which this one has `count`.
FittedRows fitted_rows(std::int64_t count, const RefitOptions& options) {
  const SharedWork::Place place = options.work.place(count);
  const at::Tensor chosen = drawn_rows(place.all, options.max_rows, 0);
  if (!chosen.defined()) return {.own = at::arange(count, whole()), .every = true, .place = place};
  const auto before = [&](std::int64_t row) { return chosen.lt(row).sum().item<std::int64_t>(); };
  const std::int64_t begin = before(place.first), end = before(place.first + count);
  return {.own = chosen.slice(0, begin, end) - place.first,
          .every = false,
          .place = {.first = begin, .all = chosen.size(0)}};
}

/// Channels last: [n, C, H, W] as [n H W, C].
at::Tensor pixels(const at::Tensor& images) {
  return images.permute({0, 2, 3, 1}).reshape({-1, images.size(1)});
}

/// The pixels under every kernel position of every output position, as offsets into one padded image: [H' W', taps].
at::Tensor tap_offsets(at::IntArrayRef kernel, at::IntArrayRef outputs, std::int64_t padded_width,
                       const ConvolutionShape& shape) {
  const auto along = [&](std::size_t dim) {  // [outputs, taps]
    return at::arange(outputs[dim], whole()).unsqueeze(1) * shape.stride[dim] +
           at::arange(kernel[dim], whole()).unsqueeze(0) * shape.dilation[dim];
  };
  const at::Tensor y = along(0).view({outputs[0], 1, kernel[0], 1}),
                   x = along(1).view({1, outputs[1], 1, kernel[1]});
  return (y * padded_width + x).reshape({outputs[0] * outputs[1], kernel[0] * kernel[1]});
}

/// The refits of a convolution's groups, as one. Columns are taps, then channels.
Refit joined(const std::vector<ValidatedEquations>& equations, const at::Tensor& weight,
             const at::Tensor& bias, double ridge) {
  const auto groups = static_cast<std::int64_t>(equations.size());
  const std::int64_t out = weight.size(0) / groups;
  std::vector<at::Tensor> weights, biases;
  Refit result;
  for (std::int64_t g = 0; g < groups; ++g) {
    const auto solution = equations[static_cast<std::size_t>(g)].solve(
        weight.slice(0, g * out, (g + 1) * out).permute({0, 2, 3, 1}).reshape({out, -1}),
        bias.defined() ? bias.slice(0, g * out, (g + 1) * out) : bias, ridge);
    weights.push_back(
        solution.weight.view({out, weight.size(2), weight.size(3), weight.size(1)}).permute({0, 3, 1, 2}));
    if (bias.defined()) biases.push_back(solution.bias);
    result.before = std::max(result.before, solution.before);
    result.after = std::max(result.after, solution.after);
  }
  result.weight = at::cat(weights, 0);
  if (bias.defined()) result.bias = at::cat(biases, 0);
  return result;
}

double relative(const at::Tensor& difference, const at::Tensor& target, const SharedWork& work) {
  at::Tensor both = at::stack({difference.square().sum(), target.square().sum()});
  work.sum(both);
  const auto norm = both[1].item<double>();
  return norm > 0 ? std::sqrt(both[0].item<double>() / norm) : 0.0;
}

}  // namespace

Refit refit_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   const at::Tensor& target, const RefitOptions& options) {
  ValidatedEquations equations(weight.size(1), weight.size(0), bias.defined());
  const at::Tensor rows = x.reshape({-1, weight.size(1)}), wanted = target.reshape({-1, weight.size(0)});
  const FittedRows fitted = fitted_rows(rows.size(0), options);
  equations.add(fitted.of(rows), fitted.of(wanted), fitted.place);
  equations.sum(options.work);
  const auto solution = equations.solve(weight, bias, options.ridge);
  return {
      .weight = solution.weight, .bias = solution.bias, .before = solution.before, .after = solution.after};
}

Refit refit_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        const at::Tensor& target, const ConvolutionShape& shape,
                        const RefitOptions& options) {
  const std::int64_t groups = shape.groups, out = weight.size(0) / groups, in = weight.size(1),
                     taps = weight.size(2) * weight.size(3), positions = target.size(2) * target.size(3);
  const std::int64_t high = shape.padding[0], wide = shape.padding[1];
  const at::Tensor padded = at::constant_pad_nd(x, {wide, wide, high, high}),
                   offsets = tap_offsets({weight.size(2), weight.size(3)}, {target.size(2), target.size(3)},
                                         padded.size(3), shape);
  const at::Tensor inputs = pixels(padded), outputs = pixels(target);
  std::vector<ValidatedEquations> equations;
  for (std::int64_t g = 0; g < groups; ++g) equations.emplace_back(taps * in, out, bias.defined());
  const FittedRows fitted = fitted_rows(outputs.size(0), options);
  const std::int64_t block = std::max<std::int64_t>(1, kUnfoldedElements / (taps * in * groups));
  for (std::int64_t begin = 0; begin < fitted.place.all; begin += block) {
    const std::int64_t end = std::min(fitted.place.all, begin + block);
    const at::Tensor some = fitted.between(begin, end);
    if (some.numel() == 0) continue;
    const SharedWork::Place place{.first = std::max(begin, fitted.place.first) - begin, .all = end - begin};
    const at::Tensor image = at::floor_divide(some, positions), position = some - image * positions;
    const at::Tensor places =
        image.unsqueeze(1) * (padded.size(2) * padded.size(3)) + offsets.index_select(0, position);
    const at::Tensor columns = inputs.index_select(0, places.flatten()).view({some.size(0), taps, -1}),
                     wanted = outputs.index_select(0, some);
    for (std::int64_t g = 0; g < groups; ++g)
      equations[static_cast<std::size_t>(g)].add(
          columns.slice(2, g * in, (g + 1) * in).reshape({some.size(0), taps * in}),
          wanted.slice(1, g * out, (g + 1) * out), place);
  }
  for (ValidatedEquations& group : equations) group.sum(options.work);
  return joined(equations, weight, bias, options.ridge);
}

// Two unknowns a channel: the normal equations of (n, 1), solved in closed form, near the old values.
Refit refit_affine(const at::Tensor& normalised, const at::Tensor& weight, const at::Tensor& bias,
                   const at::Tensor& target, const RefitOptions& options) {
  const FittedRows fitted = fitted_rows(normalised.size(0), options);
  const at::Tensor n = fitted.of(normalised).to(at::kDouble), y = fitted.of(target).to(at::kDouble);
  const at::Tensor w = weight.detach().to(at::kDouble).reshape({-1});
  const at::Tensor b = bias.defined() ? bias.detach().to(at::kDouble).reshape({-1}) : at::zeros_like(w);
  const at::Tensor residual = y - n * w - b;
  const auto rows = static_cast<double>(fitted.place.all);
  at::Tensor sums = at::stack({n.square().sum(0), (n * residual).sum(0), n.sum(0), residual.sum(0)});
  options.work.sum(sums);
  const at::Tensor nn = sums[0], nr = sums[1], s = sums[2], r = sums[3];
  Refit out{.weight = {}, .bias = {}, .before = relative(residual, y, options.work)};
  if (!bias.defined()) {
    out.weight = w + nr / (nn * (1 + options.ridge)).clamp_min(1e-30);
    out.after = relative(y - n * out.weight, y, options.work);
    return out;
  }
  const at::Tensor strength = options.ridge * (nn + rows) / 2;
  const at::Tensor a = nn + strength, c = rows + strength;
  const at::Tensor determinant = (a * c - s * s).clamp_min(1e-30);
  out.weight = w + (c * nr - s * r) / determinant;
  out.bias = b + (a * r - s * nr) / determinant;
  out.after = relative(y - n * out.weight - out.bias, y, options.work);
  return out;
}

}  // namespace pollard::pruning
