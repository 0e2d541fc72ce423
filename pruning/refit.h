// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "pruning/shared_work.h"

namespace pollard::pruning {

struct RefitOptions {
  double ridge = 1e-3;              ///< relative to the mean diagonal of the inputs' second moments
  std::int64_t max_rows = 1 << 17;  ///< rows a layer is fitted on; of more some are drawn
  /// Where processes share the samples: each refits with the rows of its own, and all get the same parameters, those that
  /// one process would get for all rows in rank order.
  SharedWork work;
};

/// New parameters of one layer. `bias` is undefined where there was none; errors are |target - output| / |target| with
/// the old and the new parameters.
struct Refit {
  at::Tensor weight, bias;
  double before = 0, after = 0;
};

/// y = x W' + b over the last dimension: x [.., in], weight [out, in], target [.., out].
Refit refit_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   const at::Tensor& target, const RefitOptions& options);

/// Geometry of a convolution over images; a 1-d one is given as images of height 1.
struct ConvolutionShape {
  std::vector<std::int64_t> stride, padding, dilation;  ///< height, width
  std::int64_t groups = 1;
};
/// x [n, C, H, W], weight [out, C / groups, kh, kw], target [n, out, H', W']: least squares over unfolded inputs, group by
/// group. Only the rows that count are unfolded, in blocks.
Refit refit_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        const at::Tensor& target, const ConvolutionShape& shape, const RefitOptions& options);

/// y = normalised * w + b, channel by channel: normalised and target [rows, channels], weight and bias [channels].
Refit refit_affine(const at::Tensor& normalised, const at::Tensor& weight, const at::Tensor& bias,
                   const at::Tensor& target, const RefitOptions& options);

}  // namespace pollard::pruning
