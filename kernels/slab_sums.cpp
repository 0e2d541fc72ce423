// SPDX-License-Identifier: Apache-2.0
#include "kernels/slab_sums.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

// Vectors are passed between functions that are always inlined: there is no call whose ABI could change.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace pollard::kernels {
namespace {

// Row blocks are cut by size alone, never by thread count: their partial sums are added in block order.
constexpr std::int64_t kBlockElements = std::int64_t{1} << 20;

// Eight lanes in f64. Element i of a run always lands in lane i % 8, on any processor; squares and absolute values of
// floats are exact in f64, so neither vector width nor contraction can change a sum.
constexpr std::int64_t kLanes = 8;
using Floats = float __attribute__((vector_size(kLanes * sizeof(float)), aligned(4)));
using Doubles = double __attribute__((vector_size(kLanes * sizeof(double)), aligned(8)));

template <int P>
[[gnu::always_inline]] inline Doubles power(const float* w) {
  const Doubles x = __builtin_convertvector(*reinterpret_cast<const Floats*>(w), Doubles);
  if constexpr (P == 2) return x * x;
  else return x < 0 ? -x : x;
}

template <int P>
[[gnu::always_inline]] inline double power_of_one(float w) {
  const double x = w;
  return P == 2 ? x * x : std::fabs(x);
}

[[gnu::always_inline]] inline double total(const Doubles& lanes) {
  double sum = 0;
  for (std::int64_t l = 0; l < kLanes; ++l) sum += lanes[l];
  return sum;
}

/// One contiguous row: its sum, and where wanted every element added to `elements`. Four vectors are in flight, so the
/// adds do not wait for each other.
template <int P, bool Elements>
[[gnu::always_inline]] inline double add_row(const float* w, std::int64_t n, double* elements) {
  constexpr std::int64_t kUnroll = 4, kStep = kUnroll * kLanes;
  Doubles lanes[kUnroll] = {};
  std::int64_t i = 0;
  for (; i + kStep <= n; i += kStep)
    for (std::int64_t u = 0; u < kUnroll; ++u) {
      const Doubles x = power<P>(w + i + u * kLanes);
      lanes[u] += x;
      if constexpr (Elements) *reinterpret_cast<Doubles*>(elements + i + u * kLanes) += x;
    }
  double rest = 0;
  for (; i < n; ++i) {
    const double x = power_of_one<P>(w[i]);
    rest += x;
    if constexpr (Elements) elements[i] += x;
  }
  return total((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + rest;
}

struct Sums {
  std::vector<double> rows, columns;
};

// Clones need plain functions; the rows themselves are inlined into each.
#define POLLARD_SUM_BLOCK(name, P)                                                                                      \
  __attribute__((target_clones("avx512f", "avx2", "default"))) void name(const float* w, std::int64_t rows,              \
                                                                         std::int64_t length, double* row_sums,          \
                                                                         double* element_sums) {                         \
    for (std::int64_t r = 0; r < rows; ++r, w += length)                                                                \
      row_sums[r] = element_sums ? add_row<P, true>(w, length, element_sums) : add_row<P, false>(w, length, nullptr);   \
  }
POLLARD_SUM_BLOCK(sum_block_1, 1)
POLLARD_SUM_BLOCK(sum_block_2, 2)
#undef POLLARD_SUM_BLOCK

/// Folds a row of [columns, inner] sums over inner.
void add_columns(const std::vector<double>& elements, std::int64_t inner, std::vector<double>& columns) {
  for (std::size_t c = 0; c < columns.size(); ++c)
    for (std::int64_t k = 0; k < inner; ++k) columns[c] += elements[c * static_cast<std::size_t>(inner) + static_cast<std::size_t>(k)];
}

Sums sum_rows_and_columns(const at::Tensor& weight, bool want_columns, bool squares) {
  const std::int64_t rows = weight.size(0), columns = weight.dim() > 1 ? weight.size(1) : 1, length = weight.numel() / rows;
  const std::int64_t block = std::max<std::int64_t>(1, kBlockElements / std::max<std::int64_t>(1, length));
  const std::int64_t blocks = (rows + block - 1) / block;
  Sums sums{.rows = std::vector<double>(static_cast<std::size_t>(rows)), .columns = {}};
  std::vector<std::vector<double>> partial(static_cast<std::size_t>(want_columns ? blocks : 0));
  const float* data = weight.const_data_ptr<float>();
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t first = b * block, count = std::min(block, rows - first);
      double* elements = nullptr;
      if (want_columns) {
        partial[static_cast<std::size_t>(b)].assign(static_cast<std::size_t>(length), 0.0);
        elements = partial[static_cast<std::size_t>(b)].data();
      }
      (squares ? sum_block_2 : sum_block_1)(data + first * length, count, length, sums.rows.data() + first, elements);
    }
  });
  if (want_columns) sums.columns.assign(static_cast<std::size_t>(columns), 0.0);
  for (const std::vector<double>& part : partial) add_columns(part, length / columns, sums.columns);
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
    sums = sum_rows_and_columns(weight, std::ranges::count(dims, 1) > 0, p == 2);
  }
  std::vector<std::vector<double>> out;
  for (std::int64_t dim : dims) out.push_back(fast && dim < 2 ? (dim == 0 ? sums.rows : sums.columns) : general_sums(weight, dim, p));
  return out;
}

}  // namespace pollard::kernels
