// SPDX-License-Identifier: Apache-2.0
// One block runs all steps of a few sequences in one direction, without a word to other blocks: thread j keeps the cell of
// unit j of each in registers, h goes round through shared memory. W_hh lies in shared memory where it fits (H <= 112),
// transposed so that neighbouring threads read neighbouring words; otherwise the L2 cache serves it.
#include "kernels/cuda/lstm.h"

#include "kernels/cuda/dialect.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr int kSequences = 4;  // a block's; four share every load of a weight

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

__device__ inline std::int64_t token(const LstmRecurrence& layer, std::int64_t sequence, std::int64_t step) {
  return sequence / layer.inner * layer.steps * layer.inner + sequence % layer.inner + step * layer.inner;
}

/// [4 H, H] to [H, 4 H].
__device__ inline void transpose(const float* from, float* to, std::int64_t hidden) {
  for (std::int64_t i = threadIdx.x; i < 4 * hidden * hidden; i += blockDim.x)
    to[i % hidden * 4 * hidden + i / hidden] = from[i];
}

/// sums[s][g] += sum over k of W[g H + unit, k] h[s, k]; weight (g, k) of this unit is weights[g * gate + k * next].
__device__ inline void multiply(float (&sums)[kSequences][4], const float* weights, std::int64_t gate,
                                std::int64_t next, const float* h, std::int64_t hidden) {
  for (std::int64_t k = 0; k < hidden; ++k)
    for (int g = 0; g < 4; ++g) {
      const float weight = weights[g * gate + k * next];
      for (int s = 0; s < kSequences; ++s) sums[s][g] += weight * h[s * hidden + k];
    }
}

__global__ void __launch_bounds__(1024) lstm_kernel(LstmRecurrence layer, bool weights_in_shared) {
  const std::int64_t hidden = layer.hidden, unit = threadIdx.x, direction = blockIdx.y,
                     first = std::int64_t{blockIdx.x} * kSequences, width = layer.directions * 4 * hidden;
  const float* weight_hh = layer.weight_hh + direction * 4 * hidden * hidden;
  SharedMemory shared;
  float* h = shared.take<float>(static_cast<std::size_t>(2 * kSequences * hidden));
  float* transposed =
      shared.take<float>(weights_in_shared ? static_cast<std::size_t>(4 * hidden * hidden) : std::size_t{1});
  for (std::int64_t i = threadIdx.x; i < 2 * kSequences * hidden; i += blockDim.x) h[i] = 0.0f;
  if (weights_in_shared) transpose(weight_hh, transposed, hidden);
  const float* weights = weights_in_shared ? transposed + unit : weight_hh + unit * hidden;
  const std::int64_t gate = weights_in_shared ? hidden : hidden * hidden,
                     next = weights_in_shared ? 4 * hidden : 1;
  float cell[kSequences] = {};
  __syncthreads();
  for (std::int64_t step = 0; step < layer.steps; ++step) {
    const std::int64_t t = direction == 0 ? step : layer.steps - 1 - step;
    const float* now = h + (step & 1) * kSequences * hidden;
    float* later = h + ((step & 1) ^ 1) * kSequences * hidden;
    if (unit < hidden) {
      float sums[kSequences][4];
      for (int s = 0; s < kSequences; ++s)
        for (int g = 0; g < 4; ++g)
          sums[s][g] = first + s < layer.sequences ? layer.gates[token(layer, first + s, t) * width +
                                                                 direction * 4 * hidden + g * hidden + unit]
                                                   : 0.0f;
      multiply(sums, weights, gate, next, now, hidden);
      for (int s = 0; s < kSequences; ++s) {
        cell[s] = sigmoid(sums[s][1]) * cell[s] + sigmoid(sums[s][0]) * tanhf(sums[s][2]);
        const float value = sigmoid(sums[s][3]) * tanhf(cell[s]);
        later[s * hidden + unit] = value;
        if (first + s < layer.sequences)
          layer.output[token(layer, first + s, t) * layer.output_width + layer.output_offset +
                       direction * hidden + unit] = value;
      }
    }
    __syncthreads();
  }
}

}  // namespace

void lstm_recurrence(const LstmRecurrence& layer, void* stream) {
  if (layer.sequences == 0 || layer.steps == 0) return;
  const auto hidden = static_cast<std::size_t>(layer.hidden);
  const std::size_t states = shared_bytes<float>(2 * kSequences * hidden),
                    weights = shared_bytes<float>(4 * hidden * hidden);
  constexpr std::size_t kLimit = std::size_t{227} << 10;
  const bool fits = states + weights <= kLimit;
  const auto blocks = static_cast<unsigned>((layer.sequences + kSequences - 1) / kSequences),
             threads = static_cast<unsigned>((layer.hidden + kWarp - 1) / kWarp * kWarp);
  launch(lstm_kernel, dim3{blocks, static_cast<unsigned>(layer.directions), 1}, dim3{threads, 1, 1},
         states + (fits ? weights : shared_bytes<float>(1)), static_cast<Stream>(stream), layer, fits);
}

}  // namespace pollard::kernels::cuda
