// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace pollard::kernels::cuda {

/// The sub-matrix of the kept rows and columns: output[i, j] = input[rows[i], columns[j]], units of `unit` bytes (a kernel's
/// taps stay together). nullptr keeps all rows or columns; indices lie on the device.
struct SliceRows {
  const unsigned char* input;  ///< [.., input_columns] units
  unsigned char* output;       ///< [row_count, column_count] units
  const std::int64_t *rows, *columns;
  std::int64_t row_count, column_count, input_columns, unit;
};

void slice_rows(const SliceRows& slice, void* stream);

}  // namespace pollard::kernels::cuda
