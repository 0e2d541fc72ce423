// SPDX-License-Identifier: Apache-2.0
// First one warp a head runs over the gates: decay, g and its running maximum. Then a block takes kQueries positions and lets
// one panel of kKeys earlier ones after the other pass through shared memory. The maximum of every row is known by then, so
// nothing is rescaled; each thread keeps its columns of the result in registers. All sums have one fixed order.
#include "kernels/cuda/mlstm.h"

#include "kernels/cuda/dialect.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr int kQueries = 16, kKeys = 32, kMlstmThreads = 128;
constexpr int kKeysAtOnce = kMlstmThreads / kQueries;  // dot products of one query that run side by side
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

/// Rows [first, first + count) of a matrix, zeros beyond its end; one word of padding keeps rows in different banks.
__device__ inline void fetch(const float* matrix, std::int64_t first, int count, std::int64_t rows,
                             std::int64_t width, float* to) {
  for (std::int64_t n = threadIdx.x; n < count * width; n += kMlstmThreads) {
    const std::int64_t row = n / width, column = n % width;
    to[row * (width + 1) + column] = first + row < rows ? matrix[(first + row) * width + column] : 0.0f;
  }
}

/// scores [kQueries, kKeys] of positions `query`.. with positions `key`.., weighted; later keys get zero.
__device__ inline void score(const Mlstm& layer, const float* g, const float* top, std::int64_t query,
                             std::int64_t key, const float* q, const float* k, float* scores) {
  const int row = static_cast<int>(threadIdx.x) / kKeysAtOnce,
            lane = static_cast<int>(threadIdx.x) % kKeysAtOnce;
  const std::int64_t t = query + row;
  for (int column = lane; column < kKeys; column += kKeysAtOnce) {
    const std::int64_t s = key + column;
    float dot = 0.0f;
    for (std::int64_t d = 0; d < layer.width; ++d)
      dot += q[row * (layer.width + 1) + d] * k[column * (layer.width + 1) + d];
    scores[row * kKeys + column] = s <= t && t < layer.steps ? dot * __expf(g[s] - top[t]) : 0.0f;
  }
}

/// kColumns columns of the result a thread.
template <int kColumns>
__global__ void __launch_bounds__(kMlstmThreads) mlstm_kernel(Mlstm layer) {
  SharedMemory shared;
  const auto width = static_cast<std::size_t>(layer.width) + 1,
             value_width = static_cast<std::size_t>(layer.value_width) + 1;
  float* q = shared.take<float>(kQueries * width);
  float* k = shared.take<float>(kKeys * width);
  float* v = shared.take<float>(kKeys * value_width);
  float* scores = shared.take<float>(kQueries * kKeys);
  const std::int64_t head = blockIdx.y, query = std::int64_t{blockIdx.x} * kQueries, at = head * layer.steps;
  float result[kColumns][kQueries] = {}, sums[kQueries] = {};
  fetch(layer.q + at * layer.width, query, kQueries, layer.steps, layer.width, q);
  for (std::int64_t key = 0; key < query + kQueries && key < layer.steps; key += kKeys) {
    __syncthreads();
    fetch(layer.k + at * layer.width, key, kKeys, layer.steps, layer.width, k);
    fetch(layer.v + at * layer.value_width, key, kKeys, layer.steps, layer.value_width, v);
    __syncthreads();
    score(layer, layer.g + at, layer.top + at, query, key, q, k, scores);
    __syncthreads();
    for (int s = 0; s < kKeys; ++s)
      for (int row = 0; row < kQueries; ++row) {
        const float weight = scores[row * kKeys + s];
        sums[row] += weight;
        for (int c = 0; c < kColumns; ++c) {
          const std::int64_t column = threadIdx.x + c * kMlstmThreads;
          if (column < layer.value_width) result[c][row] += weight * v[s * (layer.value_width + 1) + column];
        }
      }
  }
  for (int row = 0; row < kQueries && query + row < layer.steps; ++row) {
    const float scale = 1.0f / (fmaxf(fabsf(sums[row]), layer.bound[at + query + row]) + layer.eps);
    for (int c = 0; c < kColumns; ++c) {
      const std::int64_t column = threadIdx.x + c * kMlstmThreads;
      if (column < layer.value_width)
        layer.output[(at + query + row) * layer.value_width + column] = result[c][row] * scale;
    }
  }
}

}  // namespace

void mlstm(const Mlstm& layer, void* given) {
  if (layer.heads == 0 || layer.steps == 0 || layer.value_width == 0) return;
  const auto stream = static_cast<Stream>(given);
  const auto width = static_cast<std::size_t>(layer.width) + 1,
             value_width = static_cast<std::size_t>(layer.value_width) + 1;
  const std::size_t bytes = shared_bytes<float>(kQueries * width) + shared_bytes<float>(kKeys * width) +
                            shared_bytes<float>(kKeys * value_width) + shared_bytes<float>(kQueries * kKeys);
  const auto heads = static_cast<unsigned>(layer.heads);
  const dim3 grid{static_cast<unsigned>((layer.steps + kQueries - 1) / kQueries), heads, 1},
      block{kMlstmThreads, 1, 1};
  launch(gates_kernel, dim3{heads, 1, 1}, dim3{kWarp, 1, 1}, 0, stream, layer);
  if (layer.value_width <= kMlstmThreads)
    launch(mlstm_kernel<1>, grid, block, bytes, stream, layer);
  else if (layer.value_width <= 2 * kMlstmThreads)
    launch(mlstm_kernel<2>, grid, block, bytes, stream, layer);
  else
    launch(mlstm_kernel<4>, grid, block, bytes, stream, layer);
}

}  // namespace pollard::kernels::cuda
