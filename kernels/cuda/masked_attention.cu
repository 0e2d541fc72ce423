// SPDX-License-Identifier: Apache-2.0
// A block takes kTile queries of one head and lets tiles of keys pass by (Dao et al., 2022, arXiv 2205.14135): scores go round
// through shared memory; what is there of the result is scaled down where a tile brings a larger score. A closed head's blocks
// write zeros and read nothing else. A thread keeps 4 x 4 squares, as in tiles.cuh; all sums have one fixed order.
#include "kernels/cuda/masked_attention.h"

#include "kernels/cuda/tiles.cuh"

namespace pollard::kernels::cuda {
namespace {

/// The largest or the sum of what the threads of one row of squares hold.
template <class Join>
__device__ inline float across(float value, Join&& join) {
  for (int step = kAcross / 2; step > 0; step /= 2)
    value = join(value, __shfl_xor_sync(0xffffffffU, value, step));
  return value;
}

/// One head's tile of queries.
struct HeadTile {
  const float *q, *k, *v, *mask;
  std::int64_t query;
};

/// What the four rows of a thread hold: their largest score and the sum of their weights so far.
struct RowState {
  float top[4], sums[4];
};

/// Scores of the tile's queries with keys `key`.., exp(score - top) turned into weights[key][query]. `fades`: what results
/// so far have to be multiplied with.
__device__ inline void weigh(const MaskedAttention& call, const HeadTile& head, std::int64_t key, float* q,
                             float* k, float* weights, RowState& rows, float (&fades)[4]) {
  const Place at = place();
  float square[4][4] = {};
  for (std::int64_t d = 0; d < call.width; d += kSlice) {
    __syncthreads();
    fill_turned(q, [&](int r, int c) {
      const bool inside = head.query + r < call.queries && d + c < call.width;
      return inside ? head.q[(head.query + r) * call.q.row_stride + d + c] : 0.0f;
    });
    fill_turned(k, [&](int r, int c) {
      const bool inside = key + r < call.keys && d + c < call.width;
      return inside ? head.k[(key + r) * call.k.row_stride + d + c] : 0.0f;
    });
    __syncthreads();
    multiply(square, q, k, kSlice, at);
  }
  for (int i = 0; i < 4; ++i) {
    const std::int64_t t = head.query + at.top + i;
    float largest = -INFINITY;
    for (int j = 0; j < 4; ++j) {
      const std::int64_t s = key + at.side + j;
      const bool counts = t < call.queries && s < call.keys && (!call.causal || s <= t);
      float& score = square[i][j];
      score = counts ? score * call.scale : -INFINITY;
      if (counts && head.mask) score += head.mask[t * call.mask.row_stride + s];
      largest = fmaxf(largest, score);
    }
    const float top = fmaxf(rows.top[i], across(largest, [](float x, float y) { return fmaxf(x, y); })),
                from = top == -INFINITY ? 0.0f : top;  // nothing counts yet: all weights are 0
    fades[i] = __expf(rows.top[i] - from);
    rows.sums[i] *= fades[i];
    rows.top[i] = top;
    for (int j = 0; j < 4; ++j) {
      square[i][j] = __expf(square[i][j] - from);
      rows.sums[i] += square[i][j];
    }
  }
  for (int j = 0; j < 4; ++j)
    *reinterpret_cast<float4*>(weights + (at.side + j) * kStride + at.top) =
        float4{square[0][j], square[1][j], square[2][j], square[3][j]};
}

constexpr std::size_t masked_shared_bytes() {
  return 2 * shared_bytes<float>(kSlice * kStride) + 2 * shared_bytes<float>(kTile * kStride);
}

/// Columns of the result that this thread computes of its row i, times `scale`.
template <int kSquares>
__device__ inline void store(const MaskedAttention& call, float* row, const float (&result)[kSquares][4][4],
                             int i, float scale) {
  const int side = place().side;
#pragma unroll
  for (int c = 0; c < kSquares; ++c)
    for (int j = 0; j < 4; ++j)
      if (c * kTile + side + j < call.value_width) row[c * kTile + side + j] = result[c][i][j] * scale;
}

/// kSquares squares of the result a thread: value widths up to kSquares kTile.
template <int kSquares>
__global__ void __launch_bounds__(kTileThreads, kSquares == 1 ? 2 : 1) masked_kernel(MaskedAttention call) {
  SharedMemory shared;
  float* q = shared.take<float>(kSlice * kStride);
  float* k = shared.take<float>(kSlice * kStride);
  float* v = shared.take<float>(kTile * kStride);
  float* weights = shared.take<float>(kTile * kStride);
  const std::int64_t down = tiles(call.queries), b = blockIdx.x / down / call.heads,
                     h = blockIdx.x / down % call.heads, query = blockIdx.x % down * kTile;
  const HeadTile head{
      call.q.data + b * call.q.batch_stride + h * call.q.head_stride,
      call.k.data + b * call.k.batch_stride + h * call.k.head_stride,
      call.v.data + b * call.v.batch_stride + h * call.v.head_stride,
      call.mask.data ? call.mask.data + b * call.mask.batch_stride + h * call.mask.head_stride : nullptr,
      query};
  const float gate = call.gates[b * call.heads + h];
  const std::int64_t readable = call.causal && query + kTile < call.keys ? query + kTile : call.keys,
                     keys = gate == 0.0f ? 0 : readable;
  const Place at = place();
  float result[kSquares][4][4] = {};
  RowState rows{{-INFINITY, -INFINITY, -INFINITY, -INFINITY}, {}};
  for (std::int64_t key = 0; key < keys; key += kTile) {
    float fades[4];
    weigh(call, head, key, q, k, weights, rows, fades);
#pragma unroll
    for (int c = 0; c < kSquares; ++c) {
      if (c * kTile >= call.value_width) continue;
      __syncthreads();
      fill(v, kTile, [&](int r, int column) {
        const bool inside = key + r < call.keys && c * kTile + column < call.value_width;
        return inside ? head.v[(key + r) * call.v.row_stride + c * kTile + column] : 0.0f;
      });
      __syncthreads();
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) result[c][i][j] *= fades[i];
      multiply(result[c], weights, v, kTile, at);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float sum = across(rows.sums[i], [](float x, float y) { return x + y; });
    const std::int64_t t = query + at.top + i;
    if (t < call.queries)
      store<kSquares>(call, call.output + ((b * call.queries + t) * call.heads + h) * call.value_width,
                      result, i, sum > 0 ? gate / sum : 0.0f);
  }
}

}  // namespace

void masked_attention(const MaskedAttention& call, void* given) {
  if (call.batch == 0 || call.heads == 0 || call.queries == 0 || call.value_width == 0) return;
  const dim3 grid{static_cast<unsigned>(call.batch * call.heads * tiles(call.queries)), 1, 1};
  const auto run = [&](auto kernel) {
    launch(kernel, grid, dim3{kTileThreads, 1, 1}, masked_shared_bytes(), static_cast<Stream>(given), call);
  };
  const std::int64_t squares = tiles(call.value_width);
  if (squares <= 1) return run(masked_kernel<1>);
  if (squares <= 2) return run(masked_kernel<2>);
  run(masked_kernel<4>);
}

}  // namespace pollard::kernels::cuda
