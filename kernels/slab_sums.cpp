// SPDX-License-Identifier: Apache-2.0
#include "kernels/slab_sums.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

namespace pollard::kernels {
namespace {

// Row blocks are cut by size alone, never by thread count: their partial sums are added in block order.
constexpr std::int64_t kBlockElements = std::int64_t{1} << 18;
constexpr std::int64_t kLanes = 16;

/// |w|^p for p = 1, 2; squares and absolute values of floats are exact in f64, so contraction cannot change them.
template <int P>
double power(float w) {
  const double x = w;
  return P == 2 ? x * x : std::fabs(x);
}

/// Sums one contiguous run with a fixed assignment of elements to lanes.
template <int P>
double sum_run(const float* w, std::int64_t n) {
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] += power<P>(w[i + l]);
  for (std::int64_t l = 0; i < n; ++i, ++l) lanes[l] += power<P>(w[i]);
  double total = 0;
  for (double lane : lanes) total += lane;
  return total;
}

/// [rows, columns] with one element each: the row's sum and the columns' sums in one read.
template <int P>
double add_row(const float* w, std::int64_t columns, double* column_sums) {
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes)
    for (std::int64_t l = 0; l < kLanes; ++l) {
      const double x = power<P>(w[i + l]);
      lanes[l] += x;
      column_sums[i + l] += x;
    }
  for (std::int64_t l = 0; i < columns; ++i, ++l) {
    const double x = power<P>(w[i]);
    lanes[l] += x;
    column_sums[i] += x;
  }
  double total = 0;
  for (double lane : lanes) total += lane;
  return total;
}

/// [rows, columns, inner]: kernels of convolutions.
template <int P>
double add_kernel_row(const float* w, std::int64_t columns, std::int64_t inner, double* column_sums) {
  double total = 0;
  for (std::int64_t c = 0; c < columns; ++c) {
    double sum = 0;
    for (std::int64_t k = 0; k < inner; ++k) sum += power<P>(w[c * inner + k]);
    column_sums[c] += sum;
    total += sum;
  }
  return total;
}

struct Sums {
  std::vector<double> rows, columns;
};

template <int P>
__attribute__((target_clones("avx512f", "avx2", "default")))
void sum_block(const float* w, std::int64_t rows, std::int64_t columns, std::int64_t inner, double* row_sums,
               double* column_sums) {
  for (std::int64_t r = 0; r < rows; ++r, w += columns * inner) {
    if (!column_sums) row_sums[r] = sum_run<P>(w, columns * inner);
    else row_sums[r] = inner == 1 ? add_row<P>(w, columns, column_sums) : add_kernel_row<P>(w, columns, inner, column_sums);
  }
}

template <int P>
Sums sum_rows_and_columns(const at::Tensor& weight, bool want_columns) {
  const std::int64_t rows = weight.size(0), columns = weight.dim() > 1 ? weight.size(1) : 1;
  const std::int64_t inner = weight.numel() / std::max<std::int64_t>(1, rows * columns);
  const std::int64_t block = std::max<std::int64_t>(1, kBlockElements / std::max<std::int64_t>(1, columns * inner));
  const std::int64_t blocks = (rows + block - 1) / block;
  Sums sums{.rows = std::vector<double>(static_cast<std::size_t>(rows)), .columns = {}};
  std::vector<std::vector<double>> partial(static_cast<std::size_t>(want_columns ? blocks : 0));
  const float* data = weight.const_data_ptr<float>();
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t first = b * block, count = std::min(block, rows - first);
      double* column_sums = nullptr;
      if (want_columns) {
        partial[static_cast<std::size_t>(b)].assign(static_cast<std::size_t>(columns), 0.0);
        column_sums = partial[static_cast<std::size_t>(b)].data();
      }
      sum_block<P>(data + first * columns * inner, count, columns, inner, sums.rows.data() + first, column_sums);
    }
  });
  if (want_columns) sums.columns.assign(static_cast<std::size_t>(columns), 0.0);
  for (const std::vector<double>& part : partial)
    for (std::size_t c = 0; c < part.size(); ++c) sums.columns[c] += part[c];
  return sums;
}

/// Any dtype, dimension and power, through f64.
std::vector<double> general_sums(const at::Tensor& weight, std::int64_t dim, double p) {
  at::Tensor x = weight.detach().to(at::kDouble).abs();
  if (p != 1) x = x.pow(p);
  x = x.movedim(dim, 0).reshape({weight.size(dim), -1}).sum(1).contiguous();
  const double* data = x.const_data_ptr<double>();
  return {data, data + x.numel()};
}

}  // namespace

std::vector<std::vector<double>> slab_power_sums(const at::Tensor& weight, std::span<const std::int64_t> dims, double p) {
  const bool fast = weight.scalar_type() == at::kFloat && weight.is_contiguous() && weight.is_cpu() && weight.dim() > 0 &&
                    weight.numel() > 0 && (p == 1 || p == 2);
  const bool low = std::ranges::any_of(dims, [](std::int64_t d) { return d < 2; });
  Sums sums;
  if (fast && low) {
    const bool columns = std::ranges::count(dims, 1) > 0;
    sums = p == 2 ? sum_rows_and_columns<2>(weight, columns) : sum_rows_and_columns<1>(weight, columns);
  }
  std::vector<std::vector<double>> out;
  for (std::int64_t dim : dims) out.push_back(fast && dim < 2 ? (dim == 0 ? sums.rows : sums.columns) : general_sums(weight, dim, p));
  return out;
}

}  // namespace pollard::kernels
