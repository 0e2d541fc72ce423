// SPDX-License-Identifier: Apache-2.0
// One block runs all steps of some sequences in one direction, without a word to other blocks. Threads go along the units,
// rows of threads along groups of kSequences sequences; a thread computes the four gates of one unit for all sequences of its
// group, so that a weight, read once, serves kSequences products and what a unit shows serves four. Weights stay in shared
// memory while all steps run, where they fit.
#include "kernels/cuda/lstm.h"

#include "kernels/cuda/dialect.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr unsigned kLstmThreads = 256;

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

/// What a block keeps between steps: for every group what its sequences show (now and later) and remember.
struct States {
  float *shown, *later, *cells;
  std::int64_t stride;  ///< of a sequence's row of what is shown
};

template <int kSequences>
__device__ inline void multiply(float (&sums)[kSequences][4], const float4* weights, const States& states,
                                std::int64_t hidden) {
  for (std::int64_t k = 0; k < hidden; k += 4) {
    float4 w[4];
    for (int j = 0; j < 4; ++j) w[j] = weights[(k + j) * hidden];
    for (int s = 0; s < kSequences; ++s) {
      const float4 h = *reinterpret_cast<const float4*>(states.shown + s * states.stride + k);
      const float parts[4] = {h.x, h.y, h.z, h.w};
      for (int j = 0; j < 4; ++j) {
        sums[s][0] += w[j].x * parts[j];
        sums[s][1] += w[j].y * parts[j];
        sums[s][2] += w[j].z * parts[j];
        sums[s][3] += w[j].w * parts[j];
      }
    }
  }
}

/// One unit of a group's sequences, one step on. `tokens`: where the sequences are in this step, -1 for none.
template <int kSequences>
__device__ inline void advance(const LstmRecurrence& layer, const float4* weights, const States& states,
                               const std::int64_t* tokens, std::int64_t offset, std::int64_t unit) {
  const std::int64_t hidden = layer.hidden, width = layer.directions * 4 * hidden;
  float sums[kSequences][4];
  for (int s = 0; s < kSequences; ++s)
    for (int g = 0; g < 4; ++g)
      sums[s][g] =
          tokens[s] < 0 ? 0.0f : layer.gates[tokens[s] * width + offset * 4 * hidden + g * hidden + unit];
  multiply(sums, weights + unit, states, hidden);
  for (int s = 0; s < kSequences; ++s) {
    float& cell = states.cells[s * hidden + unit];
    cell = sigmoid(sums[s][1]) * cell + sigmoid(sums[s][0]) * tanhf(sums[s][2]);
    const float value = sigmoid(sums[s][3]) * tanhf(cell);
    states.later[s * states.stride + unit] = value;
    if (tokens[s] >= 0)
      layer.output[tokens[s] * layer.output_width + layer.output_offset + offset * hidden + unit] = value;
  }
}

/// kShared: the weights lie in shared memory, which the compiler has to know to read them as such.
template <int kSequences, bool kShared>
__global__ void __launch_bounds__(kLstmThreads) lstm_kernel(LstmRecurrence layer, std::int64_t rows) {
  const std::int64_t hidden = layer.hidden, direction = blockIdx.y,
                     first = (std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y) * kSequences;
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
  const auto groups = static_cast<std::size_t>(blockDim.y), units = static_cast<std::size_t>(hidden);
  const std::size_t a_group = kSequences * static_cast<std::size_t>(rows);
  SharedMemory shared;
  float* shown = shared.take<float>(2 * groups * a_group);
  float* cells = shared.take<float>(groups * kSequences * units);
  float4* copy = shared.take<float4>(kShared ? static_cast<std::size_t>(rows) * units : 1);
  for (std::size_t i = thread; i < 2 * groups * a_group; i += threads) shown[i] = 0.0f;
  for (std::size_t i = thread; i < groups * kSequences * units; i += threads) cells[i] = 0.0f;
  const float4* given = reinterpret_cast<const float4*>(layer.weight_hh) + direction * rows * hidden;
  if constexpr (kShared)
    for (std::int64_t i = thread; i < rows * hidden; i += threads) copy[i] = given[i];
  std::int64_t starts[kSequences];
  for (int s = 0; s < kSequences; ++s) {
    const std::int64_t r = first + s;
    starts[s] = r < layer.sequences ? r / layer.inner * layer.steps * layer.inner + r % layer.inner : -1;
  }
  __syncthreads();
  for (std::int64_t step = 0; step < layer.steps; ++step) {
    const std::int64_t t = direction == 0 ? step : layer.steps - 1 - step;
    const std::size_t now = static_cast<std::size_t>(step & 1) * groups * a_group,
                      then = groups * a_group - now;
    const States states{shown + now + threadIdx.y * a_group, shown + then + threadIdx.y * a_group,
                        cells + threadIdx.y * kSequences * units, rows};
    std::int64_t tokens[kSequences];
    for (int s = 0; s < kSequences; ++s) tokens[s] = starts[s] < 0 ? -1 : starts[s] + t * layer.inner;
    for (std::int64_t unit = threadIdx.x; unit < hidden; unit += blockDim.x)
      advance<kSequences>(layer, kShared ? copy : given, states, tokens, direction, unit);
    __syncthreads();
  }
}

template <int kSequences>
std::size_t state_bytes(std::size_t groups, std::size_t hidden, std::size_t rows) {
  return shared_bytes<float>(2 * groups * kSequences * rows) +
         shared_bytes<float>(groups * kSequences * hidden);
}

template <int kSequences>
void launch_lstm(const LstmRecurrence& layer, unsigned groups, Stream stream) {
  const auto hidden = static_cast<std::size_t>(layer.hidden),
             rows = static_cast<std::size_t>(lstm_weight_rows(layer.hidden));
  const std::size_t states = state_bytes<kSequences>(groups, hidden, rows),
                    weights = shared_bytes<float4>(rows * hidden);
  const bool fits = states + weights <= shared_limit();
  const auto units = static_cast<unsigned>((layer.hidden + kWarp - 1) / kWarp * kWarp);
  const std::int64_t a_block = std::int64_t{groups} * kSequences;
  const dim3 grid{static_cast<unsigned>((layer.sequences + a_block - 1) / a_block),
                  static_cast<unsigned>(layer.directions), 1},
      block{units < kLstmThreads / groups ? units : kLstmThreads / groups, groups, 1};
  const std::size_t bytes = states + (fits ? weights : shared_bytes<float4>(1));
  const std::int64_t padded = lstm_weight_rows(layer.hidden);
  if (fits) return launch(lstm_kernel<kSequences, true>, grid, block, bytes, stream, layer, padded);
  launch(lstm_kernel<kSequences, false>, grid, block, bytes, stream, layer, padded);
}

}  // namespace

void lstm_recurrence(const LstmRecurrence& layer, void* given) {
  if (layer.sequences == 0 || layer.steps == 0 || layer.hidden == 0) return;
  const auto stream = static_cast<Stream>(given);
  // Blocks enough for the whole device come first, then sequences that share a block's weights.
  constexpr std::int64_t kBlocks = 256;
  const std::int64_t chains = layer.sequences * layer.directions;
  if (chains < 8 * kBlocks / 2 || layer.hidden > 1024) return launch_lstm<2>(layer, 1, stream);
  unsigned groups = 1;
  while (groups < 4 && chains >= 16 * kBlocks * groups && layer.hidden * groups * 2 <= kLstmThreads)
    groups *= 2;
  launch_lstm<8>(layer, groups, stream);
}

}  // namespace pollard::kernels::cuda
