// SPDX-License-Identifier: Apache-2.0
// A block takes a window through all heads, one after the other; what a head reads, makes and gives stays in shared memory, as
// the network lays it out: channels by positions, in rows of `stride` floats. A thread computes squares of 4 x 4 results.
// Scores are keys by queries, so that softmax runs down the rows; all sums have one fixed order.
#include "kernels/cuda/cascaded_attention.h"

#include "kernels/cuda/tiles.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr int kCascadeThreads = 128;
constexpr int kMostDown = 32;        ///< squares below each other in a pass
constexpr int kMostQueries = kTile;  ///< whose scores are there at once
/// Of a slice of weights: rows below each other begin in different banks.
constexpr int kDepthStride = kSlice + 4;
/// What a block can have on every architecture that is built.
constexpr std::size_t kLeastShared = std::size_t{163} << 10;

__host__ __device__ constexpr int fours(int n) { return (n + 3) / 4; }

/// Sizes that are the same for all heads, and floats of the arrays.
struct Rooms {
  int n, stride, queries;
  std::int64_t x, q, made, scores, slice;
};

/// The block's arrays: what a head reads and then gives; its queries, convolved; its keys and below them its values; scores, and
/// before them the queries' maps with a border of zeros; a slice of weights; parts of what is largest and of sums.
struct Arrays {
  float *x, *q, *made, *scores, *slice, *tops, *sums;
};

/// This thread's square in a pass over results of so many columns.
struct Squares {
  int across, down, top, side;
  bool taken;
  __device__ explicit Squares(int columns)
      : across(fours(columns)),
        down(kCascadeThreads / across < kMostDown ? kCascadeThreads / across : kMostDown),
        top(static_cast<int>(threadIdx.x) / across),
        side(static_cast<int>(threadIdx.x) % across * 4),
        taken(top < down) {}
  __device__ int rows() const { return 4 * down; }  ///< of a pass
  /// The i-th of a square's rows: neighbours are another thread's.
  __device__ int row(int i) const { return top + i * down; }
};

/// square[i][j] += sum over m < 4 groups of rows[i][m] right[m][j].
__device__ inline void multiply_rows(float (&square)[4][4], const float* const (&rows)[4], const float* right,
                                     int stride, int groups) {
#pragma unroll 2
  for (int g = 0; g < groups; ++g) {
    float4 left[4];
    for (int i = 0; i < 4; ++i) left[i] = *reinterpret_cast<const float4*>(rows[i] + 4 * g);
    for (int k = 0; k < 4; ++k) {
      const float4 b = *reinterpret_cast<const float4*>(right + (4 * g + k) * stride);
      for (int i = 0; i < 4; ++i) {
        const float a = k == 0 ? left[i].x : k == 1 ? left[i].y : k == 2 ? left[i].z : left[i].w;
        square[i][0] += a * b.x;
        square[i][1] += a * b.y;
        square[i][2] += a * b.z;
        square[i][3] += a * b.w;
      }
    }
  }
}

/// The head's own channels plus what the one before gave; zeros around, and in the queries' maps.
__device__ inline void read_channels(const CascadedHead& head, const Rooms& rooms, const Arrays& the,
                                     const float* own, bool first, int maps) {
  for (int t = static_cast<int>(threadIdx.x); t < 4 * fours(head.read) * rooms.stride; t += kCascadeThreads) {
    const int c = t / rooms.stride, position = t % rooms.stride;
    const bool inside = c < head.read && position < rooms.n;
    const float before = first || !inside ? 0.0f : the.x[t];
    the.x[t] = inside ? own[c * rooms.n + position] + before : 0.0f;
  }
  for (int t = static_cast<int>(threadIdx.x); t < maps; t += kCascadeThreads) the.scores[t] = 0.0f;
}

/// q, k, v = qkv x + bias: queries go into their maps.
__device__ inline void project(const CascadedHead& head, const Rooms& rooms, const Arrays& the, int width,
                               int wide, int area) {
  const Squares at(rooms.n);
  const int all = 2 * head.keys + head.given, edge = head.side / 2;
  for (int first = 0; first < all; first += at.rows()) {
    float square[4][4] = {};
    for (int d = 0; d < head.read; d += kSlice) {
      __syncthreads();
      for (int t = static_cast<int>(threadIdx.x); t < at.rows() * kSlice; t += kCascadeThreads) {
        const int r = t / kSlice, c = t % kSlice;
        the.slice[r * kDepthStride + c] =
            first + r < all && d + c < head.read ? head.qkv[(first + r) * head.read + d + c] : 0.0f;
      }
      __syncthreads();
      if (!at.taken) continue;
      const float* rows[4];
      for (int i = 0; i < 4; ++i) rows[i] = the.slice + at.row(i) * kDepthStride;
      const int left = head.read - d;
      multiply_rows(square, rows, the.x + d * rooms.stride + at.side, rooms.stride,
                    fours(left < kSlice ? left : kSlice));
    }
    for (int i = 0; i < 4; ++i) {
      const int row = first + at.row(i);
      if (!at.taken || row >= all) continue;
      const float bias = head.qkv_bias[row];
      for (int j = 0; j < 4; ++j) square[i][j] += bias;
      if (row >= head.keys) {
        store_shared(the.made + (row - head.keys) * rooms.stride + at.side,
                     {square[i][0], square[i][1], square[i][2], square[i][3]});
        continue;
      }
      for (int j = 0; j < 4; ++j) {
        const int position = at.side + j;
        if (position < rooms.n)
          the.scores[row * area + (position / width + edge) * wide + position % width + edge] = square[i][j];
      }
    }
  }
}

/// Queries through their depthwise convolution, times scale.
__device__ inline void convolve(const CascadedHead& head, const Rooms& rooms, const Arrays& the, int width,
                                int wide, int area, float scale) {
  const int across = fours(rooms.n);
  for (int t = static_cast<int>(threadIdx.x); t < head.keys * across; t += kCascadeThreads) {
    const int k = t / across, side = t % across * 4;
    const float* weights = head.depthwise + k * head.side * head.side;
    const float bias = head.depthwise_bias[k];
    float sums[4] = {bias, bias, bias, bias};
    const float* from[4];
    for (int j = 0; j < 4; ++j) {
      const int position = side + j < rooms.n ? side + j : rooms.n - 1;
      from[j] = the.scores + k * area + position / width * wide + position % width;
    }
    for (int y = 0; y < head.side; ++y)
      for (int x = 0; x < head.side; ++x) {
        const float weight = weights[y * head.side + x];
        for (int j = 0; j < 4; ++j) sums[j] += weight * from[j][y * wide + x];
      }
    store_shared(the.q + k * rooms.stride + side,
                 {sums[0] * scale, sums[1] * scale, sums[2] * scale, sums[3] * scale});
  }
}

/// Scores of all keys with `queries` queries from `first` on.
__device__ inline void score(const CascadedHead& head, const Rooms& rooms, const Arrays& the,
                             const float* bias, int first, int queries) {
  const Squares at(queries);
  for (int key = 4 * at.top; at.taken && key < rooms.n; key += at.rows()) {
    float square[4][4] = {};
    multiply(square, the.made, the.q + first, head.keys, {key, at.side}, rooms.stride);
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 4; ++j)
        if (key + i < rooms.n && at.side + j < queries)
          square[i][j] += bias[(first + at.side + j) * rooms.n + key + i];
      store_shared(the.scores + (key + i) * rooms.queries + at.side,
                   {square[i][0], square[i][1], square[i][2], square[i][3]});
    }
  }
}

/// Scores become exp(score - the query's largest), behind the last key 0; the parts' sums of them. Several threads a query.
__device__ inline void weigh(const Rooms& rooms, const Arrays& the) {
  const int t = static_cast<int>(threadIdx.x), parts = kCascadeThreads / rooms.queries,
            part = t / rooms.queries, query = t % rooms.queries;
  float* column = the.scores + query;
  if (part < parts) {
    float top = -INFINITY;
    for (int key = part; key < rooms.n; key += parts) top = fmaxf(top, column[key * rooms.queries]);
    the.tops[t] = top;
  }
  __syncthreads();
  if (part < parts) {
    float top = the.tops[query], sum = 0;
    for (int p = 1; p < parts; ++p) top = fmaxf(top, the.tops[p * rooms.queries + query]);
    for (int key = part; key < 4 * fours(rooms.n); key += parts) {
      const float weight = key < rooms.n ? __expf(column[key * rooms.queries] - top) : 0.0f;
      column[key * rooms.queries] = weight;
      sum += weight;
    }
    the.sums[t] = sum;
  }
}

/// What the head gives for these queries, in place of what it read.
__device__ inline void give(const CascadedHead& head, const Rooms& rooms, const Arrays& the, int first,
                            int queries) {
  const Squares at(queries);
  if (!at.taken) return;
  float share[4];
  for (int j = 0; j < 4; ++j) {
    float sum = 0;
    for (int p = 0; p < kCascadeThreads / rooms.queries; ++p)
      sum += the.sums[p * rooms.queries + at.side + j];
    share[j] = 1.0f / sum;
  }
  const float* values = the.made + head.keys * rooms.stride;
  for (int start = 0; start < head.given; start += at.rows()) {
    float square[4][4] = {};
    const float* rows[4];
    for (int i = 0; i < 4; ++i) {
      const int row = start + at.row(i);
      rows[i] = values + (row < head.given ? row : head.given - 1) * rooms.stride;
    }
    multiply_rows(square, rows, the.scores + at.side, rooms.queries, fours(rooms.n));
    for (int i = 0; i < 4; ++i)
      if (start + at.row(i) < head.given)
        store_shared(the.x + (start + at.row(i)) * rooms.stride + first + at.side,
                     {square[i][0] * share[0], square[i][1] * share[1], square[i][2] * share[2],
                      square[i][3] * share[3]});
  }
}

__device__ inline void write_given(const Rooms& rooms, const Arrays& the, int given, float* to) {
  for (int t = static_cast<int>(threadIdx.x); t < given * rooms.stride; t += kCascadeThreads)
    if (t % rooms.stride < rooms.n) to[t / rooms.stride * rooms.n + t % rooms.stride] = the.x[t];
}

__global__ void __launch_bounds__(kCascadeThreads, 4) cascade_kernel(CascadedAttention call, Rooms rooms) {
  SharedMemory shared;
  const Arrays the{shared.take<float>(rooms.x),        shared.take<float>(rooms.q),
                   shared.take<float>(rooms.made),     shared.take<float>(rooms.scores),
                   shared.take<float>(rooms.slice),    shared.take<float>(kCascadeThreads),
                   shared.take<float>(kCascadeThreads)};
  std::int64_t read = 0, given = 0;
  for (int h = 0; h < call.heads; ++h) read += call.head[h].read, given += call.head[h].given;
  const float* own = call.input + blockIdx.x * read * rooms.n;
  float* to = call.output + blockIdx.x * given * rooms.n;
  for (int h = 0; h < call.heads; ++h) {
    const CascadedHead head = call.head[h];
    const int wide = call.width + head.side - 1, area = wide * (call.height + head.side - 1);
    read_channels(head, rooms, the, own, h == 0, head.keys * area);
    project(head, rooms, the, call.width, wide, area);
    __syncthreads();
    convolve(head, rooms, the, call.width, wide, area, call.scale);
    for (int first = 0; first < rooms.n; first += rooms.queries) {
      const int queries = rooms.n - first < rooms.queries ? rooms.n - first : rooms.queries;
      __syncthreads();
      score(head, rooms, the, call.bias + h * rooms.n * rooms.n, first, queries);
      __syncthreads();
      weigh(rooms, the);
      __syncthreads();
      give(head, rooms, the, first, queries);
    }
    __syncthreads();
    write_given(rooms, the, head.given, to);
    own += head.read * rooms.n;
    to += head.given * rooms.n;
  }
}

std::int64_t larger(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

Rooms rooms_of(const CascadedAttention& call) {
  Rooms out{};
  out.n = call.height * call.width;
  // Rows below each other begin in different banks.
  out.stride = fours(out.n) % 2 == 0 ? 4 * fours(out.n) + 4 : 4 * fours(out.n);
  out.queries = 4 * fours(out.n) < kMostQueries ? 4 * fours(out.n) : kMostQueries;
  out.scores = 4 * fours(out.n) * out.queries;
  for (int h = 0; h < call.heads; ++h) {
    const CascadedHead& head = call.head[h];
    const std::int64_t read = head.read, keys = head.keys, given = head.given, wider = head.side - 1;
    out.x = larger(out.x, (larger(read, given) + 3) / 4 * 4 * out.stride);
    out.q = larger(out.q, keys * out.stride);
    out.made = larger(out.made, (keys + given) * out.stride);
    out.scores = larger(out.scores, keys * ((call.height + wider) * (call.width + wider)));
  }
  const int down = kCascadeThreads / fours(out.n);
  out.slice = 4 * (down < kMostDown ? down : kMostDown) * kDepthStride;
  return out;
}

std::size_t bytes_of(const Rooms& rooms) {
  std::size_t sum = 2 * shared_bytes<float>(kCascadeThreads);
  for (const std::int64_t count : {rooms.x, rooms.q, rooms.made, rooms.scores, rooms.slice})
    sum += shared_bytes<float>(static_cast<std::size_t>(count));
  return sum;
}

}  // namespace

bool takes_cascade(const CascadedAttention& call) {
  constexpr std::int64_t kMost = 4 * kCascadeThreads;
  const std::int64_t n = std::int64_t{call.height} * call.width;
  return n > 0 && n <= kMost && bytes_of(rooms_of(call)) <= kLeastShared;
}

void cascaded_attention(const CascadedAttention& call, void* given) {
  if (call.windows == 0) return;
  const Rooms rooms = rooms_of(call);
  launch(cascade_kernel, dim3{static_cast<unsigned>(call.windows), 1, 1}, dim3{kCascadeThreads, 1, 1},
         bytes_of(rooms), static_cast<Stream>(given), call, rooms);
}

}  // namespace pollard::kernels::cuda
