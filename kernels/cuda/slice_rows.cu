// SPDX-License-Identifier: Apache-2.0
// A block makes kSliceRows rows of the result, so that a column's number is read once for all of them and as many loads are
// under way. Neighbouring threads write neighbouring words; half of the columns still lie in nearly all of the rows' sectors,
// so the time is that of reading the rows and writing the result.
#include "kernels/cuda/slice_rows.h"

#include "kernels/cuda/dialect.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr unsigned kSliceThreads = 256;
constexpr int kSliceRows = 8;

/// Word w of the rows' kept units, of which each has `words`.
template <class Word>
__global__ void __launch_bounds__(kSliceThreads) slice_kernel(SliceRows slice) {
  const std::int64_t words = slice.unit / static_cast<std::int64_t>(sizeof(Word)),
                     width = slice.column_count * words, first = std::int64_t{blockIdx.x} * kSliceRows;
  const Word* input[kSliceRows];
  for (int r = 0; r < kSliceRows; ++r) {
    const std::int64_t row = first + r < slice.row_count ? first + r : slice.row_count - 1;
    input[r] = reinterpret_cast<const Word*>(slice.input) +
               (slice.rows ? slice.rows[row] : row) * slice.input_columns * words;
  }
  Word* output = reinterpret_cast<Word*>(slice.output) + first * width;
  for (std::int64_t w = std::int64_t{blockIdx.y} * kSliceThreads + threadIdx.x; w < width;
       w += std::int64_t{gridDim.y} * kSliceThreads) {
    const std::int64_t unit = words == 1 ? w : w / words, column = slice.columns ? slice.columns[unit] : unit,
                       from = column * words + (w - unit * words);
    Word moved[kSliceRows];
    for (int r = 0; r < kSliceRows; ++r) moved[r] = input[r][from];
    for (int r = 0; r < kSliceRows; ++r)
      if (first + r < slice.row_count) output[r * width + w] = moved[r];
  }
}

template <class Word>
bool divides(const SliceRows& slice) {
  const auto address =
      reinterpret_cast<std::uintptr_t>(slice.input) | reinterpret_cast<std::uintptr_t>(slice.output);
  return slice.unit % static_cast<std::int64_t>(sizeof(Word)) == 0 && address % sizeof(Word) == 0;
}

template <class Word>
void launch_slice(const SliceRows& slice, Stream stream) {
  const std::int64_t width = slice.column_count * (slice.unit / static_cast<std::int64_t>(sizeof(Word))),
                     pieces = (width + kSliceThreads - 1) / kSliceThreads;
  constexpr std::int64_t kMostPieces = 4;  // beside each other; wider rows are gone over again
  launch(slice_kernel<Word>,
         dim3{static_cast<unsigned>((slice.row_count + kSliceRows - 1) / kSliceRows),
              static_cast<unsigned>(pieces < kMostPieces ? pieces : kMostPieces), 1},
         dim3{kSliceThreads, 1, 1}, 0, stream, slice);
}

}  // namespace

void slice_rows(const SliceRows& slice, void* given) {
  if (slice.row_count == 0 || slice.column_count == 0) return;
  const auto stream = static_cast<Stream>(given);
  if (divides<float4>(slice)) return launch_slice<float4>(slice, stream);
  if (divides<std::uint32_t>(slice)) return launch_slice<std::uint32_t>(slice, stream);
  launch_slice<unsigned char>(slice, stream);
}

}  // namespace pollard::kernels::cuda
