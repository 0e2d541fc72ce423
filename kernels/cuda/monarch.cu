// SPDX-License-Identifier: Apache-2.0
// Two products of rows with the blocks of a factor, each in one launch. Nothing is permuted on its own: a product writes its
// results where the next one reads rows of neighbours. In two launches and not in one that keeps the middle in shared memory:
// at few rows every tile of every block of a factor is a thread block of its own, and no size is too large.
#include "kernels/cuda/monarch.h"

#include "kernels/cuda/tiles.cuh"

namespace pollard::kernels::cuda {
namespace {

/// Results [rows, count out] of input [rows, count in] by blocks [count, out, in]; of each row, read as [.., turn], the
/// transpose [turn, ..] is written.
struct BlockProduct {
  const float *input, *blocks;
  float* output;
  std::int64_t rows, count, out, in, turn;
};

/// Which of a tile's columns stands at a place. A thread's four are kAcross apart: neighbouring threads write neighbours.
__device__ inline int column_at(int place) { return place % 4 * kAcross + place / 4; }

__global__ void __launch_bounds__(kTileThreads, 3) product_kernel(BlockProduct call) {
  SharedMemory shared;
  float* left = shared.take<float>(kSlice * kStride);
  float* right = shared.take<float>(kSlice * kStride);
  const std::int64_t across = tiles(call.out), beside = call.count * across,
                     row = blockIdx.x / beside * kTile, n = blockIdx.x % beside / across,
                     column = blockIdx.x % across * kTile, width = call.count * call.in;
  const float* from = call.input + row * width + n * call.in;
  const float* block = call.blocks + (n * call.out + column) * call.in;
  const Place at = place();
  float square[4][4] = {};
  for (std::int64_t d = 0; d < call.in; d += kSlice) {
    __syncthreads();
    fill_turned(left, [&](int r, int c) {
      return row + r < call.rows && d + c < call.in ? from[r * width + d + c] : 0.0f;
    });
    fill_turned(right, [&](int place, int c) {
      const int o = column_at(place);
      return column + o < call.out && d + c < call.in ? block[o * call.in + d + c] : 0.0f;
    });
    __syncthreads();
    multiply(square, left, right, kSlice, at);
  }
  const auto turn = static_cast<unsigned>(call.turn),
             turned = static_cast<unsigned>(call.count * call.out) / turn;
  for (int j = 0; j < 4; ++j) {
    const std::int64_t o = column + column_at(at.side + j);
    if (o >= call.out) continue;
    const auto m = static_cast<unsigned>(n * call.out + o);
    float* to = call.output + row * turn * turned + m % turn * turned + m / turn;
    for (int i = 0; i < 4; ++i)
      if (row + at.top + i < call.rows) to[std::int64_t{at.top + i} * turn * turned] = square[i][j];
  }
}

void multiply_blocks(const BlockProduct& call, Stream stream) {
  const std::int64_t grid = tiles(call.rows) * call.count * tiles(call.out);
  if (grid == 0) return;
  launch(product_kernel, dim3{static_cast<unsigned>(grid), 1, 1}, dim3{kTileThreads, 1, 1},
         2 * shared_bytes<float>(kSlice * kStride), stream, call);
}

}  // namespace

void monarch(const Monarch& call, void* given) {
  const auto stream = static_cast<Stream>(given);
  // [r, l] of the middle become [l, r], [l, s] of the result [s, l].
  multiply_blocks({call.input, call.first, call.middle, call.rows, call.k, call.q, call.p, call.l}, stream);
  multiply_blocks({call.middle, call.second, call.output, call.rows, call.l, call.s, call.r, call.s}, stream);
}

}  // namespace pollard::kernels::cuda
