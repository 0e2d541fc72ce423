// SPDX-License-Identifier: Apache-2.0
// One block an output row. Neighbouring threads write neighbouring words; half of the columns still lie in nearly all of the
// row's sectors, so the time is that of reading the rows and writing the result.
#include "kernels/cuda/slice_rows.h"

#include "kernels/cuda/dialect.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr unsigned kSliceThreads = 128;

/// Word w of the row's kept units, of which each has `words`.
template <class Word>
__global__ void __launch_bounds__(kSliceThreads) slice_kernel(SliceRows slice) {
  const std::int64_t row = blockIdx.x, words = slice.unit / static_cast<std::int64_t>(sizeof(Word));
  const std::int64_t from = slice.rows ? slice.rows[row] : row;
  const Word* input = reinterpret_cast<const Word*>(slice.input) + from * slice.input_columns * words;
  Word* output = reinterpret_cast<Word*>(slice.output) + row * slice.column_count * words;
  for (std::int64_t w = threadIdx.x; w < slice.column_count * words; w += kSliceThreads) {
    const std::int64_t column = slice.columns ? slice.columns[w / words] : w / words;
    output[w] = input[column * words + w % words];
  }
}

template <class Word>
bool divides(const SliceRows& slice) {
  const auto address =
      reinterpret_cast<std::uintptr_t>(slice.input) | reinterpret_cast<std::uintptr_t>(slice.output);
  return slice.unit % static_cast<std::int64_t>(sizeof(Word)) == 0 && address % sizeof(Word) == 0;
}

}  // namespace

void slice_rows(const SliceRows& slice, void* given) {
  if (slice.row_count == 0 || slice.column_count == 0) return;
  const auto stream = static_cast<Stream>(given);
  const dim3 grid{static_cast<unsigned>(slice.row_count), 1, 1}, block{kSliceThreads, 1, 1};
  if (divides<float4>(slice)) return launch(slice_kernel<float4>, grid, block, 0, stream, slice);
  if (divides<std::uint32_t>(slice))
    return launch(slice_kernel<std::uint32_t>, grid, block, 0, stream, slice);
  launch(slice_kernel<unsigned char>, grid, block, 0, stream, slice);
}

}  // namespace pollard::kernels::cuda
