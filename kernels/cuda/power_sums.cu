// SPDX-License-Identifier: Apache-2.0
// Rows: one warp each, lane l adds elements l, l + 32, ..., then the lanes' sums meet in a tree. Columns: one thread each adds
// a chunk of rows, then the chunks' sums in their order.
#include "kernels/cuda/power_sums.h"

#include "kernels/cuda/dialect.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr unsigned kSumThreads = 128;
constexpr std::int64_t kChunk = 64;  // rows

__device__ inline double raised(float w, int power) {
  const double x = w;
  return power == 2 ? x * x : (x < 0 ? -x : x);
}

__global__ void __launch_bounds__(kSumThreads) row_kernel(PowerSums weight) {
  const std::int64_t row = std::int64_t{blockIdx.x} * (kSumThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= weight.rows) return;  // a whole warp
  double sum = 0;
  for (std::int64_t i = threadIdx.x % kWarp; i < weight.length; i += kWarp)
    sum += raised(weight.data[row * weight.length + i], weight.power);
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) weight.row_sums[row] = sum;
}

__global__ void __launch_bounds__(kSumThreads) chunk_kernel(PowerSums weight) {
  const std::int64_t column = std::int64_t{blockIdx.x} * kSumThreads + threadIdx.x,
                     first = blockIdx.y * kChunk;
  if (column >= weight.length) return;
  const std::int64_t last = first + kChunk < weight.rows ? first + kChunk : weight.rows;
  double sum = 0;
  for (std::int64_t row = first; row < last; ++row)
    sum += raised(weight.data[row * weight.length + column], weight.power);
  weight.partial_sums[blockIdx.y * weight.length + column] = sum;
}

__global__ void __launch_bounds__(kSumThreads) column_kernel(PowerSums weight, std::int64_t chunks) {
  const std::int64_t column = std::int64_t{blockIdx.x} * kSumThreads + threadIdx.x;
  if (column >= weight.length) return;
  double sum = 0;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
    sum += weight.partial_sums[chunk * weight.length + column];
  weight.column_sums[column] = sum;
}

unsigned blocks_for(std::int64_t items, std::int64_t a_block) {
  return static_cast<unsigned>((items + a_block - 1) / a_block);
}

}  // namespace

std::int64_t row_chunks(std::int64_t rows) { return (rows + kChunk - 1) / kChunk; }

void power_sums(const PowerSums& weight, void* given) {
  if (weight.rows == 0 || weight.length == 0) return;
  const auto stream = static_cast<Stream>(given);
  const dim3 block{kSumThreads, 1, 1};
  launch(row_kernel, dim3{blocks_for(weight.rows, kSumThreads / kWarp), 1, 1}, block, 0, stream, weight);
  if (!weight.column_sums) return;
  const std::int64_t chunks = row_chunks(weight.rows);
  const unsigned columns = blocks_for(weight.length, kSumThreads);
  launch(chunk_kernel, dim3{columns, static_cast<unsigned>(chunks), 1}, block, 0, stream, weight);
  launch(column_kernel, dim3{columns, 1, 1}, block, 0, stream, weight, chunks);
}

}  // namespace pollard::kernels::cuda
