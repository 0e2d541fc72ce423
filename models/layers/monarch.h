// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/layers/linear.h"
#include "models/module.h"

namespace pollard::models {

/// The block-diagonal matrix of the blocks [n, out, in] times x [..., n * in]: block j maps entries [j in, (j+1) in) to
/// [j out, (j+1) out); result [..., n * out].
at::Tensor multiply_blocks(const at::Tensor& x, const at::Tensor& blocks);

/// A Monarch matrix (Dao et al., 2022, arXiv 2204.00595) times x [B, k p]: block-diagonal, permute, block-diagonal,
/// permute. first [k, q, p], second [l, s, r] with l r = k q; result [B, s l]:
///
///     a[b, k, q] = sum_p first[k, q, p] x[b, k p + p],   flattened and read as [r, l]
///     y[b, s l + l] = sum_r second[l, s, r] a[b, r, l]
at::Tensor monarch_multiply(const at::Tensor& x, const at::Tensor& first, const at::Tensor& second);

/// One block-diagonal factor as a linear layer, weight [blocks, ceil(out / blocks), ceil(in / blocks)]: the input is
/// padded with zeros and the output cut where the blocks do not fit. Fresh: uniform, as wide as gives the outputs the
/// variance that PyTorch's default gives them for a dense layer.
struct BlockdiagLinear : Module {
  at::Tensor weight, bias;
  std::int64_t in, out, blocks;
  BlockdiagLinear(std::int64_t in, std::int64_t out, std::int64_t blocks, Bias with_bias = Bias::Yes);
  at::Tensor operator()(const at::Tensor& x) const;
};

}  // namespace pollard::models
