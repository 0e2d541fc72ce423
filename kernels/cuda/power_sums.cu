// SPDX-License-Identifier: Apache-2.0
// A block reads a tile of the weight once: each thread keeps the sums of its columns, and after every row the lanes' sums meet
// in a tree. Then rows are added over the tiles beside each other, columns over those below each other, in their order.
#include "kernels/cuda/power_sums.h"

#include "kernels/cuda/join.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr unsigned kSumThreads = 128, kSumWarps = kSumThreads / kWarp;
constexpr int kColumnsAThread = 4, kRowsAtOnce = 4;
constexpr std::int64_t kTileRows = 64, kTileColumns = kSumThreads * kColumnsAThread;

__device__ inline double raised(float w, int power) {
  const double x = w;
  return power == 2 ? x * x : (x < 0 ? -x : x);
}

/// partial: rows' sums [tiles across, rows], then columns' sums [tiles down, length].
__global__ void __launch_bounds__(kSumThreads) tile_kernel(PowerSums weight) {
  const std::int64_t column = blockIdx.x * kTileColumns + threadIdx.x, first = blockIdx.y * kTileRows;
  const std::int64_t last = first + kTileRows < weight.rows ? first + kTileRows : weight.rows;
  const unsigned warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  SharedMemory shared;
  double* warps = shared.take<double>(kSumWarps * kTileRows);
  double columns[kColumnsAThread] = {};
  for (std::int64_t row = first; row < last; row += kRowsAtOnce) {
    float w[kRowsAtOnce][kColumnsAThread];
    for (int r = 0; r < kRowsAtOnce; ++r)
      for (int c = 0; c < kColumnsAThread; ++c) {
        const std::int64_t at = column + c * kSumThreads;
        w[r][c] = row + r < last && at < weight.length ? weight.data[(row + r) * weight.length + at] : 0.0f;
      }
    for (int r = 0; r < kRowsAtOnce; ++r) {
      double sum = 0;
      for (int c = 0; c < kColumnsAThread; ++c) {
        const double x = raised(w[r][c], weight.power);
        columns[c] += x;
        sum += x;
      }
      sum = warp_sum(sum);
      if (lane == 0 && row + r < last) warps[warp * kTileRows + (row + r - first)] = sum;
    }
  }
  __syncthreads();
  for (std::int64_t row = first + threadIdx.x; row < last; row += kSumThreads) {
    double sum = 0;
    for (unsigned w = 0; w < kSumWarps; ++w) sum += warps[w * kTileRows + (row - first)];
    weight.partial[blockIdx.x * weight.rows + row] = sum;
  }
  double* below = weight.partial + gridDim.x * weight.rows + blockIdx.y * weight.length;
  for (int c = 0; c < kColumnsAThread; ++c)
    if (column + c * kSumThreads < weight.length) below[column + c * kSumThreads] = columns[c];
}

unsigned pieces(std::int64_t items, std::int64_t a_piece) {
  return static_cast<unsigned>((items + a_piece - 1) / a_piece);
}

}  // namespace

std::int64_t partial_sums(std::int64_t rows, std::int64_t length) {
  return rows * pieces(length, kTileColumns) + length * pieces(rows, kTileRows);
}

void power_sums(const PowerSums& weight, void* given) {
  if (weight.rows == 0 || weight.length == 0) return;
  const auto stream = static_cast<Stream>(given);
  const dim3 block{kSumThreads, 1, 1},
      tiles{pieces(weight.length, kTileColumns), pieces(weight.rows, kTileRows), 1};
  launch(tile_kernel, tiles, block, shared_bytes<double>(kSumWarps * kTileRows), stream, weight);
  const double* const lists = weight.partial;
  join(lists, tiles.x, weight.rows, weight.row_sums, stream);
  if (weight.column_sums)
    join(lists + tiles.x * weight.rows, tiles.y, weight.length, weight.column_sums, stream);
}

}  // namespace pollard::kernels::cuda
