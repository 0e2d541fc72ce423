// SPDX-License-Identifier: Apache-2.0
// First one warp a row of q and k finds the two numbers that make a focused number of each of its numbers. Then blocks go
// through the keys, a tile of M = mean of focus(k)^T v and its column of z = mean of focus(k) each; many keys are cut into
// parts, whose sums are added in their order. Last blocks take a tile of queries of one head, and divide by focus(q) z.
// Nothing focused is stored: computing it again costs less than reading it.
#include "kernels/cuda/focused_attention.h"

#include "kernels/cuda/join.cuh"
#include "kernels/cuda/tiles.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr int kRowsABlock = 4;  // of q and k, one a warp

/// A focused number is (a inverse)^factor scale: powers of a over its row's largest, of which none overflows.
struct RowScale {
  float inverse, scale;
};

__device__ inline float positive(float x, float gain) { return (fmaxf(x, 0.0f) + 1e-6f) * gain; }

__device__ inline float power_of(float x, std::int64_t factor) {
  float power = x;
  for (std::int64_t k = 1; k < factor; ++k) power *= x;
  return power;
}

__device__ inline float focused(float x, float gain, std::int64_t factor, RowScale of) {
  return power_of(positive(x, gain) * of.inverse, factor) * of.scale;
}

__device__ inline float warp_largest(float value) {
  for (int step = kWarp / 2; step > 0; step /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffU, value, step));
  return value;
}

/// Of the rows of q, then of those of k.
__global__ void __launch_bounds__(kRowsABlock* kWarp) scales_kernel(FocusedAttention call, RowScale* scales) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kRowsABlock + threadIdx.x / kWarp,
                     queries = call.batch * call.q.count, width = call.heads * call.width;
  if (row >= queries + call.batch * call.k.count) return;
  const BatchedRows rows = row < queries ? call.q : call.k;
  const std::int64_t n = row < queries ? row : row - queries;
  const float* x = rows.data + n / rows.count * rows.batch_stride + n % rows.count * rows.row_stride;
  const unsigned lane = threadIdx.x % kWarp;
  float squares = 0, largest = 0, powers = 0;
  for (std::int64_t c = lane; c < width; c += kWarp) {
    const float a = positive(x[c], call.gain[c]);
    largest = fmaxf(largest, a);
    squares += a * a;
  }
  largest = warp_largest(largest);
  const float inverse = largest > 0 ? 1.0f / largest : 0.0f;
  for (std::int64_t c = lane; c < width; c += kWarp) {
    const float power = power_of(positive(x[c], call.gain[c]) * inverse, call.factor);
    powers += power * power;
  }
  squares = warp_sum(squares);
  powers = warp_sum(powers);
  if (lane == 0) scales[row] = {inverse, powers > 0 ? sqrtf(squares / powers) : 0.0f};
}

/// M [width, value_width], then z [width], of one head over the keys of one part: [parts, batch heads, ..].
__global__ void __launch_bounds__(kTileThreads)
    mix_kernel(FocusedAttention call, const RowScale* scales, std::int64_t a_part, float* mixed) {
  SharedMemory shared;
  float* k = shared.take<float>(kSlice * kStride);
  float* v = shared.take<float>(kSlice * kStride);
  const std::int64_t b = blockIdx.x / call.heads, h = blockIdx.x % call.heads,
                     across = tiles(call.value_width), row = blockIdx.y / across * kTile,
                     column = blockIdx.y % across * kTile, first = blockIdx.z * a_part,
                     last = first + a_part < call.k.count ? first + a_part : call.k.count;
  const float* keys = call.k.data + b * call.k.batch_stride + h * call.width + row;
  const float* values = call.v.data + b * call.v.batch_stride + h * call.value_width + column;
  const float* gain = call.gain + h * call.width + row;
  const RowScale* of = scales + b * call.k.count;
  const Place at = place();
  float square[4][4] = {}, total = 0;
  for (std::int64_t j = first; j < last; j += kSlice) {
    __syncthreads();
    fill(k, kSlice, [&](int r, int c) {
      const bool inside = j + r < last && row + c < call.width;
      return inside ? focused(keys[(j + r) * call.k.row_stride + c], gain[c], call.factor, of[j + r]) : 0.0f;
    });
    fill(v, kSlice, [&](int r, int c) {
      const bool inside = j + r < last && column + c < call.value_width;
      return inside ? values[(j + r) * call.v.row_stride + c] : 0.0f;
    });
    __syncthreads();
    multiply(square, k, v, kSlice, at);
    if (column == 0 && threadIdx.x < kTile)
      for (int r = 0; r < kSlice; ++r) total += k[r * kStride + static_cast<int>(threadIdx.x)];
  }
  const float each = 1.0f / static_cast<float>(call.k.count);
  float* to =
      mixed + (std::int64_t{blockIdx.z} * gridDim.x + blockIdx.x) * call.width * (call.value_width + 1);
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j)
      if (row + at.top + i < call.width && column + at.side + j < call.value_width)
        to[(row + at.top + i) * call.value_width + column + at.side + j] = square[i][j] * each;
  if (column == 0 && threadIdx.x < kTile && row + threadIdx.x < call.width)
    to[call.width * call.value_width + row + threadIdx.x] = total * each;
}

/// kTile queries of one head, kTile columns of what it gives.
__global__ void __launch_bounds__(kTileThreads)
    attend_kernel(FocusedAttention call, const RowScale* scales, const float* mixed) {
  SharedMemory shared;
  float* q = shared.take<float>(kSlice * kStride);
  float* m = shared.take<float>(kSlice * kStride);
  float* z = shared.take<float>(kSlice);
  const std::int64_t down = tiles(call.q.count), head = blockIdx.x / down, b = head / call.heads,
                     h = head % call.heads, row = blockIdx.x % down * kTile, column = blockIdx.y * kTile;
  const float* queries = call.q.data + b * call.q.batch_stride + row * call.q.row_stride + h * call.width;
  const float* gain = call.gain + h * call.width;
  const RowScale* of = scales + b * call.q.count + row;
  const float* matrix = mixed + head * call.width * (call.value_width + 1);
  const Place at = place();
  float square[4][4] = {}, totals[4] = {};
  for (std::int64_t d = 0; d < call.width; d += kSlice) {
    __syncthreads();
    fill_turned(q, [&](int r, int c) {
      const bool inside = row + r < call.q.count && d + c < call.width;
      return inside ? focused(queries[r * call.q.row_stride + d + c], gain[d + c], call.factor, of[r]) : 0.0f;
    });
    fill(m, kSlice, [&](int r, int c) {
      const bool inside = d + r < call.width && column + c < call.value_width;
      return inside ? matrix[(d + r) * call.value_width + column + c] : 0.0f;
    });
    if (threadIdx.x < kSlice)
      z[threadIdx.x] =
          d + threadIdx.x < call.width ? matrix[call.width * call.value_width + d + threadIdx.x] : 0.0f;
    __syncthreads();
    multiply(square, q, m, kSlice, at);
    for (int n = 0; n < kSlice; ++n)
      for (int i = 0; i < 4; ++i) totals[i] += q[n * kStride + at.top + i] * z[n];
  }
  for (int i = 0; i < 4; ++i) {
    if (row + at.top + i >= call.q.count) continue;
    float* to = call.output + ((b * call.q.count + row + at.top + i) * call.heads + h) * call.value_width;
    const float scale = 1.0f / (totals[i] + 1e-6f);
    for (int j = 0; j < 4; ++j)
      if (column + at.side + j < call.value_width) to[column + at.side + j] = square[i][j] * scale;
  }
}

std::int64_t rows_of(const FocusedAttention& call) { return call.batch * (call.q.count + call.k.count); }

std::int64_t mixed_size(const FocusedAttention& call) {
  return call.batch * call.heads * call.width * (call.value_width + 1);
}

/// Keys are cut until there are blocks enough for a whole device, but not into fewer than two slices.
struct Parts {
  std::int64_t keys, count;
};

Parts parts_of(const FocusedAttention& call) {
  constexpr std::int64_t kBlocks = 256, kFewest = 2 * kSlice;
  const std::int64_t blocks = call.batch * call.heads * tiles(call.width) * tiles(call.value_width),
                     wanted = (kBlocks + blocks - 1) / blocks, most = (call.k.count + kFewest - 1) / kFewest,
                     count = wanted < most ? wanted : most;
  const std::int64_t keys = ((call.k.count + count - 1) / count + kSlice - 1) / kSlice * kSlice;
  return {keys, (call.k.count + keys - 1) / keys};
}

bool empty(const FocusedAttention& call) {
  return call.batch == 0 || call.heads == 0 || call.width == 0 || call.value_width == 0 ||
         call.q.count == 0 || call.k.count == 0;
}

}  // namespace

std::int64_t focused_work(const FocusedAttention& call) {
  if (empty(call)) return 0;
  const std::int64_t parts = parts_of(call).count;
  return 2 * rows_of(call) + mixed_size(call) * (parts == 1 ? 1 : parts + 1);
}

void focused_attention(const FocusedAttention& call, void* given) {
  if (empty(call)) return;
  const auto stream = static_cast<Stream>(given);
  const dim3 block{kTileThreads, 1, 1};
  const auto unsigned_of = [](std::int64_t n) { return static_cast<unsigned>(n); };
  auto* const scales = reinterpret_cast<RowScale*>(call.work);
  const RowScale* const of_queries = scales;
  const RowScale* const of_keys = scales + call.batch * call.q.count;
  float* const mixed = call.work + 2 * rows_of(call);
  const Parts parts = parts_of(call);
  float* const lists = parts.count == 1 ? mixed : mixed + mixed_size(call);
  constexpr std::size_t kSlices = 2 * shared_bytes<float>(kSlice * kStride);
  launch(scales_kernel, dim3{unsigned_of((rows_of(call) + kRowsABlock - 1) / kRowsABlock), 1, 1},
         dim3{kRowsABlock * kWarp, 1, 1}, 0, stream, call, scales);
  launch(mix_kernel,
         dim3{unsigned_of(call.batch * call.heads), unsigned_of(tiles(call.width) * tiles(call.value_width)),
              unsigned_of(parts.count)},
         block, kSlices, stream, call, of_keys, parts.keys, lists);
  if (parts.count > 1) join(static_cast<const float*>(lists), parts.count, mixed_size(call), mixed, stream);
  launch(attend_kernel,
         dim3{unsigned_of(call.batch * call.heads * tiles(call.q.count)),
              unsigned_of(tiles(call.value_width)), 1},
         block, kSlices + shared_bytes<float>(kSlice), stream, call, of_queries,
         static_cast<const float*>(mixed));
}

}  // namespace pollard::kernels::cuda
