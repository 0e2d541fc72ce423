// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

namespace pollard::kernels::cuda {

// The kernels of kernels/cuda on tensors of a CUDA device, on its current stream: cuda/operators.cpp. In a build without CUDA
// cuda_stub.cpp answers, whom no tensor of a CUDA device ever reaches. Single precision; who calls has checked shapes.

/// pollard::mlstm (recurrent/mlstm.h), value widths up to kWidestMlstm.
constexpr std::int64_t kWidestMlstm = 512;
at::Tensor mlstm(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& i,
                 const at::Tensor& f, double eps);

/// pollard::bilstm2d (operators.h), up to kMostUnits hidden units. The projections are ATen's, one product a layer.
constexpr std::int64_t kMostUnits = 2048;
at::Tensor bilstm2d(const at::Tensor& input, at::TensorList columns, at::TensorList rows);

/// Sums of |w|^power over the rows and the columns of a contiguous weight seen as [rows, rest] (slab_sums.h).
struct Sums {
  std::vector<double> rows, columns;
};
Sums power_sums(const at::Tensor& weight, std::int64_t rows, int power);

/// slice_gather of a contiguous tensor (slice_gather.h): `rows` are the kept ones of [rows, columns, unit bytes].
at::Tensor slice(const at::Tensor& tensor, const std::vector<std::int64_t>& rows,
                 const std::vector<std::int64_t>& columns, std::int64_t all_columns, std::int64_t unit,
                 at::IntArrayRef shape);

}  // namespace pollard::kernels::cuda
