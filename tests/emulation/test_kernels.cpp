// SPDX-License-Identifier: Apache-2.0
// Sums and slices on ragged sizes, in every order of threads and blocks or on a GPU: right, and the same bit for bit.
#include <cmath>

#include "kernels/cuda/power_sums.h"
#include "kernels/cuda/slice_rows.h"
#include "tests/emulation/backend.h"
#include "tests/emulation/numbers.h"

namespace pollard::kernels::cuda {
namespace {

// Power sums ---------------------------------------------------------------------------------------------------

struct MatrixCase {
  Index rows, length;
  int power;
};

class PowerSumsOf : public ::testing::TestWithParam<MatrixCase> {};

TEST_P(PowerSumsOf, RowsAndColumnsAreExact) {
  const auto [rows, length, power] = GetParam();
  const Floats data = random(rows * length, 3);
  const Array<float> there(data);
  const std::vector<double> got = on_every_schedule([&] {
    const Array<double> sums(size(rows + length)), partial(size(partial_sums(rows, length)));
    power_sums({there.data(), rows, length, power, sums.data(), sums.data() + rows, partial.data()}, nullptr);
    return sums.values();
  });
  std::vector<double> want(got.size(), 0.0);
  for (Index r = 0; r < rows; ++r)
    for (Index c = 0; c < length; ++c) {
      const double x = std::fabs(static_cast<double>(data[size(r * length + c)]));
      want[size(r)] += power == 2 ? x * x : x;
      want[size(rows + c)] += power == 2 ? x * x : x;
    }
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-12 * (1 + want[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(Ragged, PowerSumsOf,
                         ::testing::Values(MatrixCase{1, 1, 1}, MatrixCase{7, 33, 2}, MatrixCase{33, 7, 1},
                                           MatrixCase{65, 95, 2}, MatrixCase{70, 130, 2}));

#ifdef __CUDACC__
INSTANTIATE_TEST_SUITE_P(OfLayers, PowerSumsOf,
                         ::testing::Values(MatrixCase{4096, 4096, 2}, MatrixCase{50257, 768, 1},
                                           MatrixCase{2048, 4609, 2}));
#endif

TEST(PowerSumsOf, RowsAloneAreGivenWithoutColumns) {
  const Array<float> data(Floats{1, -2, 3, 4, -5, 6});
  const Array<double> sums(2), partial(size(partial_sums(2, 3)));
  power_sums({data.data(), 2, 3, 1, sums.data(), nullptr, partial.data()}, nullptr);
  EXPECT_EQ(sums.values(), (std::vector<double>{6, 15}));
}

// Slices -------------------------------------------------------------------------------------------------------

struct SliceCase {
  Index rows, columns, unit;
};

class Slice : public ::testing::TestWithParam<SliceCase> {};

TEST_P(Slice, CopiesTheKeptRowsAndColumns) {
  const auto [rows, columns, unit] = GetParam();
  std::vector<unsigned char> input(size(rows * columns * unit));
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = static_cast<unsigned char>(i * 31 % 251);
  std::vector<Index> kept_rows, kept_columns;
  for (Index r = 0; r < rows; r += 2) kept_rows.push_back(r);
  for (Index c = 0; c < columns; ++c)
    if (c % 3 != 1) kept_columns.push_back(c);
  const auto row_count = static_cast<Index>(kept_rows.size()),
             column_count = static_cast<Index>(kept_columns.size());
  const Array<unsigned char> there(input);
  const Array<Index> rows_there(kept_rows), columns_there(kept_columns);
  const std::vector<unsigned char> got = on_every_schedule([&] {
    const Array<unsigned char> out(size(row_count * column_count * unit));
    slice_rows({there.data(), out.data(), rows_there.data(), columns_there.data(), row_count, column_count,
                columns, unit},
               nullptr);
    return out.values();
  });
  for (Index i = 0; i < row_count; ++i)
    for (Index j = 0; j < column_count; ++j)
      for (Index b = 0; b < unit; ++b)
        ASSERT_EQ(got[size((i * column_count + j) * unit + b)],
                  input[size((kept_rows[size(i)] * columns + kept_columns[size(j)]) * unit + b)]);
}

INSTANTIATE_TEST_SUITE_P(Ragged, Slice,
                         ::testing::Values(SliceCase{1, 1, 4}, SliceCase{7, 33, 4}, SliceCase{3, 95, 2},
                                           SliceCase{5, 7, 36}, SliceCase{4, 150, 16}, SliceCase{2, 9, 1}));

#ifdef __CUDACC__
INSTANTIATE_TEST_SUITE_P(OfLayers, Slice,
                         ::testing::Values(SliceCase{4096, 4096, 4}, SliceCase{512, 512, 36},
                                           SliceCase{3072, 768, 2}));
#endif

TEST(Slice, WithoutIndicesEverythingIsKept) {
  const Floats data = random(35, 4);
  const Array<float> there(data), out(35);
  slice_rows({reinterpret_cast<const unsigned char*>(there.data()),
              reinterpret_cast<unsigned char*>(out.data()), nullptr, nullptr, 5, 7, 7, 4},
             nullptr);
  EXPECT_EQ(out.values(), data);
}

}  // namespace
}  // namespace pollard::kernels::cuda
