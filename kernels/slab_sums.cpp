// SPDX-License-Identifier: Apache-2.0
#include "kernels/slab_sums.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>

#include "kernels/cuda_operators.h"
#include "kernels/gradients.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Vectors are passed between functions that are always inlined: there is no call whose ABI could change.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace pollard::kernels {
namespace {

namespace portable {
constexpr int kRowsAtOnce = 1;
#include "kernels/slab_rows.inc"
}  // namespace portable
#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
constexpr int kRowsAtOnce = 1;
#include "kernels/slab_rows.inc"
}  // namespace avx2
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,prefer-vector-width=512")
namespace avx512 {
constexpr int kRowsAtOnce = 4;
#define POLLARD_CONVERTS_EIGHT
#include "kernels/slab_rows.inc"
#undef POLLARD_CONVERTS_EIGHT
}  // namespace avx512
#pragma GCC pop_options
#endif

// Row blocks are cut by size alone, never by thread count: their partial sums are added in block order.
constexpr std::int64_t kBlockElements = std::int64_t{1} << 18;
constexpr std::int64_t kPartialSums = std::int64_t{1} << 16;

struct Sums {
  std::vector<double> rows, columns;
};

template <class T>
using SumRows = void (*)(const T*, std::int64_t, std::int64_t, double*, double*);

template <class T>
SumRows<T> rows_summer(bool squares) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return squares ? avx512::sum_rows<2, T> : avx512::sum_rows<1, T>;
  if (__builtin_cpu_supports("avx2")) return squares ? avx2::sum_rows<2, T> : avx2::sum_rows<1, T>;
#endif
  return squares ? portable::sum_rows<2, T> : portable::sum_rows<1, T>;
}

/// Folds a row of [columns, inner] sums over inner.
void add_columns(const double* from, std::int64_t inner, std::vector<double>& columns) {
  for (double& column : columns)
    for (std::int64_t k = 0; k < inner; ++k) column += *from++;
}

template <class T>
Sums sum_rows_and_columns(const at::Tensor& weight, bool want_columns, bool squares) {
  const std::int64_t rows = weight.size(0), columns = weight.dim() > 1 ? weight.size(1) : 1,
                     length = weight.numel() / rows;
  const std::int64_t block = std::max<std::int64_t>(1, kBlockElements / std::max<std::int64_t>(1, length));
  const std::int64_t blocks = at::divup(rows, block);
  // Partial sums of some blocks at a time: memory for those of all would be new pages with every call.
  const std::int64_t some = std::max<std::int64_t>(4 * at::get_num_threads(), kPartialSums / length),
                     at_once = want_columns ? std::min(blocks, some) : blocks;
  Sums sums{.rows = std::vector<double>(static_cast<std::size_t>(rows)), .columns = {}};
  if (want_columns) sums.columns.assign(static_cast<std::size_t>(columns), 0.0);
  // Every block's sums begin a cache line, as a tensor's memory does: vectors of sums that cross lines cost a third more.
  constexpr std::int64_t kLine = 64 / sizeof(double);
  const std::int64_t stride = at::divup(length, kLine) * kLine;
  const at::Tensor partial = at::empty({want_columns ? at_once * stride : 0}, at::kDouble);
  double* const elements = partial.mutable_data_ptr<double>();
  const T* data = weight.const_data_ptr<T>();
  const SumRows<T> sum_rows = rows_summer<T>(squares);
  for (std::int64_t from = 0; from < blocks; from += at_once) {
    const std::int64_t count = std::min(at_once, blocks - from);
    partial.zero_();
    at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) {
        const std::int64_t first = (from + b) * block;
        sum_rows(data + first * length, std::min(block, rows - first), length, sums.rows.data() + first,
                 want_columns ? elements + b * stride : nullptr);
      }
    });
    for (std::int64_t b = 0; b < count && want_columns; ++b)
      add_columns(elements + b * stride, length / columns, sums.columns);
  }
  return sums;
}

Sums sum_rows_and_columns(const at::Tensor& weight, bool want_columns, bool squares) {
  switch (weight.scalar_type()) {
    case at::kBFloat16: return sum_rows_and_columns<c10::BFloat16>(weight, want_columns, squares);
    case at::kHalf: return sum_rows_and_columns<c10::Half>(weight, want_columns, squares);
    default: return sum_rows_and_columns<float>(weight, want_columns, squares);
  }
}

/// Any dtype, dimension and power, through f64.
std::vector<double> general_sums(const at::Tensor& weight, std::int64_t dim, double p) {
  at::Tensor x = weight.detach().to(at::kDouble).abs();
  if (p != 1) x = x.pow(p);
  x = x.movedim(dim, 0).reshape({weight.size(dim), -1}).sum(1).contiguous().cpu();
  const double* data = x.const_data_ptr<double>();
  return {data, data + x.numel()};
}

bool fits_cuda_kernel(const at::Tensor& weight, double p) {
  return weight.is_cuda() && weight.scalar_type() == at::kFloat && weight.is_contiguous() &&
         weight.dim() > 0 && weight.numel() > 0 && (p == 1 || p == 2);
}

std::vector<std::vector<double>> sums_on_cuda(const at::Tensor& weight, std::span<const std::int64_t> dims,
                                              double p) {
  const cuda::Sums sums = cuda::power_sums(weight, weight.size(0), static_cast<int>(p));
  const std::int64_t columns = weight.dim() > 1 ? weight.size(1) : 1;
  std::vector<double> joined(static_cast<std::size_t>(columns), 0.0);
  add_columns(sums.columns.data(), weight.numel() / weight.size(0) / columns, joined);
  std::vector<std::vector<double>> out;
  for (std::int64_t dim : dims)
    out.push_back(dim > 1 ? general_sums(weight, dim, p) : dim == 0 ? sums.rows : joined);
  return out;
}

}  // namespace

std::vector<std::vector<double>> slab_power_sums(const at::Tensor& weight, std::span<const std::int64_t> dims,
                                                 double p) {
  const at::ScalarType type = weight.scalar_type();
  const bool low = std::ranges::any_of(dims, [](std::int64_t d) { return d < 2; });
  if (low && fits_cuda_kernel(weight, p)) return sums_on_cuda(weight, dims, p);
  const bool fast = (type == at::kFloat || type == at::kBFloat16 || type == at::kHalf) &&
                    weight.is_contiguous() && weight.is_cpu() && weight.dim() > 0 && weight.numel() > 0 &&
                    (p == 1 || p == 2);
  Sums sums;
  if (fast && low) {
    sums = sum_rows_and_columns(weight, std::ranges::count(dims, 1) > 0, p == 2);
  }
  std::vector<std::vector<double>> out;
  for (std::int64_t dim : dims)
    out.push_back(fast && dim < 2 ? (dim == 0 ? sums.rows : sums.columns) : general_sums(weight, dim, p));
  return out;
}

namespace {

void check(const at::Tensor& weight, at::IntArrayRef dims, double p) {
  const bool known = std::ranges::all_of(dims, [&](std::int64_t d) { return d >= 0 && d < weight.dim(); });
  TORCH_CHECK_VALUE(known && p > 0, "slab_power_sums: dimensions ", dims, " of ", weight.sizes(), ", power ",
                    p);
}

std::vector<at::Tensor> by_operator(const at::Tensor& weight, at::IntArrayRef dims, double p) {
  check(weight, dims, p);
  const auto options = weight.options().dtype(at::kDouble);
  std::vector<at::Tensor> out;
  if (weight.is_meta()) {
    for (std::int64_t d : dims) out.push_back(at::empty({weight.size(d)}, options));
    return out;
  }
  if (follows_gradients(weight)) return slab_power_sums_by_aten(weight, dims, p);
  for (const std::vector<double>& sums : slab_power_sums(weight, {dims.data(), dims.size()}, p))
    out.push_back(at::tensor(sums, at::kDouble).to(weight.device()));
  return out;
}

}  // namespace

std::vector<at::Tensor> slab_power_sums_by_aten(const at::Tensor& weight, at::IntArrayRef dims, double p) {
  check(weight, dims, p);
  const at::Tensor powers = weight.to(at::kDouble).abs().pow(p);
  std::vector<at::Tensor> out;
  for (std::int64_t d : dims) out.push_back(powers.movedim(d, 0).reshape({weight.size(d), -1}).sum(1));
  return out;
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def("slab_power_sums(Tensor weight, int[] dims, float p) -> Tensor[]", by_operator);
}

}  // namespace pollard::kernels
