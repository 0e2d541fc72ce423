// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cuda/dialect.cuh"

// Products of tiles by one block of kTileThreads threads, 4 x 4 results a thread. Operands pass through shared memory with
// what is summed over as rows; a row has kStride places, so that quadruples are aligned and neighbouring rows lie in different
// banks. All sums have one fixed order.

namespace pollard::kernels::cuda {

constexpr int kTile = 64, kSlice = 32, kTileThreads = 256;
constexpr int kAcross = 16;  ///< threads along a tile's columns, each with four
constexpr int kStride = kTile + 4;

/// Where this thread's square lies in the tile.
struct Place {
  int top, side;
};
__device__ inline Place place() {
  return {static_cast<int>(threadIdx.x) / kAcross * 4, static_cast<int>(threadIdx.x) % kAcross * 4};
}

/// to[row][column] = read(row, column), `rows` rows of kTile. A warp reads neighbours of one row.
template <class Read>
__device__ inline void fill(float* to, int rows, Read&& read) {
  for (int n = static_cast<int>(threadIdx.x); n < rows * kTile; n += kTileThreads)
    to[n / kTile * kStride + n % kTile] = read(n / kTile, n % kTile);
}

/// Turned: to[column][row] = read(row, column), kTile rows of kSlice. A warp reads eight numbers of four rows: whole sectors,
/// and words of different banks.
template <class Read>
__device__ inline void fill_turned(float* to, Read&& read) {
  const int lane = static_cast<int>(threadIdx.x % kWarp), warp = static_cast<int>(threadIdx.x / kWarp);
  constexpr int kPieces = kTile * kSlice / static_cast<int>(kWarp),
                kWarps = kTileThreads / static_cast<int>(kWarp);
  for (int piece = warp; piece < kPieces; piece += kWarps) {
    const int d = piece % (kSlice / 8) * 8 + lane % 8, r = piece / (kSlice / 8) * 4 + lane / 8;
    to[d * kStride + r] = read(r, d);
  }
}

/// square[i][j] += sum over n < count of left[n][top + i] right[n][side + j].
__device__ inline void multiply(float (&square)[4][4], const float* left, const float* right, int count,
                                Place at, int stride = kStride) {
#pragma unroll 8
  for (int n = 0; n < count; ++n) {
    const float4 a = *reinterpret_cast<const float4*>(left + n * stride + at.top),
                 b = *reinterpret_cast<const float4*>(right + n * stride + at.side);
    const float rows[4] = {a.x, a.y, a.z, a.w}, columns[4] = {b.x, b.y, b.z, b.w};
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) square[i][j] += rows[i] * columns[j];
  }
}

/// How many tiles so many rows or columns are.
__host__ __device__ constexpr std::int64_t tiles(std::int64_t count) { return (count + kTile - 1) / kTile; }

}  // namespace pollard::kernels::cuda
