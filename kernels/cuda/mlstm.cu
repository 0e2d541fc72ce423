// SPDX-License-Identifier: Apache-2.0
// First one warp a head runs over the gates: decay, g and its running maximum. Then a block takes kTile positions and lets
// one tile of kTile earlier ones after the other pass by, kSlice columns of both at a time; the maximum of every row is known
// by then, so nothing is rescaled. A thread keeps 4 x 4 squares: of the scores, which go round through shared memory, and of
// the result, one for every kTile columns, in registers until the end. All sums have one fixed order.
#include "kernels/cuda/mlstm.h"

#include "kernels/cuda/tiles.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr unsigned kAll = 0xffffffffU;

__device__ inline float log_sigmoid(float x) { return fminf(x, 0.0f) - log1pf(__expf(-fabsf(x))); }

__global__ void __launch_bounds__(kWarp) gates_kernel(Mlstm layer) {
  const std::int64_t first = blockIdx.x * layer.steps;
  const unsigned lane = threadIdx.x;
  float decay_before = 0.0f, top_before = -INFINITY;
  for (std::int64_t start = 0; start < layer.steps; start += kWarp) {
    const std::int64_t t = start + lane;
    const bool inside = t < layer.steps;
    float decay = inside ? log_sigmoid(layer.f[first + t]) : 0.0f;
    for (unsigned step = 1; step < kWarp; step *= 2) {
      const float earlier = __shfl_up_sync(kAll, decay, step);
      if (lane >= step) decay += earlier;
    }
    decay += decay_before;
    const float g = inside ? layer.i[first + t] - decay : -INFINITY;
    float top = g;
    for (unsigned step = 1; step < kWarp; step *= 2) {
      const float earlier = __shfl_up_sync(kAll, top, step);
      if (lane >= step) top = fmaxf(top, earlier);
    }
    top = fmaxf(top, top_before);
    if (inside) {
      layer.g[first + t] = g;
      layer.top[first + t] = top;
      layer.bound[first + t] = __expf(-decay - top);
    }
    decay_before = __shfl_sync(kAll, decay, kWarp - 1);
    top_before = __shfl_sync(kAll, top, kWarp - 1);
  }
}

/// Columns [column, ..) of a head's rows [row, ..), turned and as they lie, zeros beyond its ends.
__device__ inline void fetch_turned(const float* matrix, std::int64_t row, std::int64_t rows,
                                    std::int64_t column, std::int64_t width, float* to) {
  fill_turned(to, [&](int r, int c) {
    const bool inside = row + r < rows && column + c < width;
    return inside ? matrix[(row + r) * width + column + c] : 0.0f;
  });
}
__device__ inline void fetch(const float* matrix, std::int64_t row, std::int64_t rows, std::int64_t column,
                             std::int64_t width, float* to) {
  fill(to, kTile, [&](int r, int c) {
    const bool inside = row + r < rows && column + c < width;
    return inside ? matrix[(row + r) * width + column + c] : 0.0f;
  });
}

/// Scores of positions `query`.. with positions `key`.., weighted, turned: scores[s][t]; zero for later s. `sums` gains what
/// this thread's columns add to its four rows.
__device__ inline void score(const Mlstm& layer, std::int64_t at, std::int64_t query, std::int64_t key,
                             float* q, float* k, float* scores, float (&sums)[4]) {
  const auto [top, side] = place();
  float square[4][4] = {};
  for (std::int64_t d = 0; d < layer.width; d += kSlice) {
    __syncthreads();
    fetch_turned(layer.q + at * layer.width, query, layer.steps, d, layer.width, q);
    fetch_turned(layer.k + at * layer.width, key, layer.steps, d, layer.width, k);
    __syncthreads();
    multiply(square, q, k, kSlice, {top, side});
  }
  for (int j = 0; j < 4; ++j) {
    const std::int64_t s = key + side + j;
    float column[4];
    for (int i = 0; i < 4; ++i) {
      const std::int64_t t = query + top + i;
      const bool counts = s <= t && t < layer.steps;
      column[i] = counts ? square[i][j] * __expf(layer.g[at + s] - layer.top[at + t]) : 0.0f;
      sums[i] += column[i];
    }
    *reinterpret_cast<float4*>(scores + (side + j) * kStride + top) =
        float4{column[0], column[1], column[2], column[3]};
  }
}

constexpr std::size_t mlstm_shared_bytes() {
  return 2 * shared_bytes<float>(kSlice * kStride) + 2 * shared_bytes<float>(kTile * kStride);
}

/// kSquares squares of the result a thread: value widths up to kSquares kTile.
template <int kSquares>
__global__ void __launch_bounds__(kTileThreads) mlstm_kernel(Mlstm layer) {
  SharedMemory shared;
  float* q = shared.take<float>(kSlice * kStride);
  float* k = shared.take<float>(kSlice * kStride);
  float* v = shared.take<float>(kTile * kStride);
  float* scores = shared.take<float>(kTile * kStride);
  // The last queries have most earlier positions: they begin first.
  const std::int64_t at = std::int64_t{blockIdx.y} * layer.steps,
                     query = std::int64_t{gridDim.x - 1 - blockIdx.x} * kTile;
  const auto [top, side] = place();
  float result[kSquares][4][4] = {}, sums[4] = {};
  for (std::int64_t key = 0; key <= query; key += kTile) {
    score(layer, at, query, key, q, k, scores, sums);
#pragma unroll
    for (int c = 0; c < kSquares; ++c) {
      if (c * kTile >= layer.value_width) continue;
      __syncthreads();
      fetch(layer.v + at * layer.value_width, key, layer.steps, c * kTile, layer.value_width, v);
      __syncthreads();
      multiply(result[c], scores, v, kTile, {top, side});
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    for (int step = kAcross / 2; step > 0; step /= 2) sums[i] += __shfl_xor_sync(kAll, sums[i], step);
    const std::int64_t t = at + query + top + i;
    if (query + top + i >= layer.steps) continue;
    const float scale = 1.0f / (fmaxf(fabsf(sums[i]), layer.bound[t]) + layer.eps);
#pragma unroll
    for (int c = 0; c < kSquares; ++c)
      for (int j = 0; j < 4; ++j) {
        const std::int64_t column = c * kTile + side + j;
        if (column < layer.value_width)
          layer.output[t * layer.value_width + column] = result[c][i][j] * scale;
      }
  }
}

}  // namespace

void mlstm(const Mlstm& layer, void* given) {
  if (layer.heads == 0 || layer.steps == 0 || layer.value_width == 0) return;
  const auto stream = static_cast<Stream>(given);
  const auto heads = static_cast<unsigned>(layer.heads);
  const dim3 grid{static_cast<unsigned>(tiles(layer.steps)), heads, 1}, block{kTileThreads, 1, 1};
  const std::int64_t squares = tiles(layer.value_width);
  launch(gates_kernel, dim3{heads, 1, 1}, dim3{kWarp, 1, 1}, 0, stream, layer);
  const auto run = [&](auto kernel) { launch(kernel, grid, block, mlstm_shared_bytes(), stream, layer); };
  if (squares <= 1) return run(mlstm_kernel<1>);
  if (squares <= 2) return run(mlstm_kernel<2>);
  if (squares <= 3) return run(mlstm_kernel<3>);
  if (squares <= 4) return run(mlstm_kernel<4>);
  if (squares <= 6) return run(mlstm_kernel<6>);
  run(mlstm_kernel<8>);
}

}  // namespace pollard::kernels::cuda
