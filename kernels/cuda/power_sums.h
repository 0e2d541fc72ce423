// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// One weight, seen as rows [rows, length]: the sums of |w| or w^2 over every row and over every column, in f64, in one pass
/// over the weight. No atomics: every sum is added in one fixed order, so that rankings come out the same bit for bit.
struct PowerSums {
  const float* data;
  std::int64_t rows, length;
  int power;            ///< 1 or 2
  double* row_sums;     ///< [rows]
  double* column_sums;  ///< [length], or nullptr
  double* partial;      ///< [partial_sums(rows, length)]: working memory
};
std::int64_t partial_sums(std::int64_t rows, std::int64_t length);

void power_sums(const PowerSums& weight, void* stream);

}  // namespace pollard::kernels::cuda
