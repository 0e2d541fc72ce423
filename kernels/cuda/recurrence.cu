// SPDX-License-Identifier: Apache-2.0
// One block runs all steps of some sequences in one direction, without a word to other blocks. Threads go along the units,
// rows of threads along groups of kSequences sequences; a thread computes all gates of one unit for all sequences of its
// group, so that a weight, read once, serves kSequences products and what a unit shows serves every gate. Weights stay in
// shared memory while all steps run, where they fit.
#include "kernels/cuda/recurrence.h"

#include "kernels/cuda/dialect.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr unsigned kRecurrenceThreads = 256;

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

// A cell: one unit of one sequence in one step. `begin` takes what its token gives, products with what all units show are
// added to its sums, `finish` tells what it shows next. One without a token stays zero.

struct LstmCell {
  static constexpr int kGates = 4;
  static constexpr bool kRemembers = true;  ///< more than it shows
  float sums[kGates] = {};

  __device__ void begin(const Recurrence& layer, const float* given, std::int64_t /*direction*/,
                        std::int64_t /*unit*/) {
    for (int g = 0; g < kGates; ++g) sums[g] = given[g * layer.hidden];
  }
  __device__ float finish(float /*shown*/, float* memory) const {
    *memory = sigmoid(sums[1]) * *memory + sigmoid(sums[0]) * tanhf(sums[2]);
    return sigmoid(sums[3]) * tanhf(*memory);
  }
};

struct GruCell {
  static constexpr int kGates = 3;
  static constexpr bool kRemembers = false;
  float sums[kGates] = {}, entering = 0;

  __device__ void begin(const Recurrence& layer, const float* given, std::int64_t direction,
                        std::int64_t unit) {
    sums[0] = given[0];
    sums[1] = given[layer.hidden];
    sums[2] = layer.bias_hn[direction * layer.weight_stride + unit];
    entering = given[2 * layer.hidden];
  }
  __device__ float finish(float shown, float* /*memory*/) const {
    const float now = tanhf(entering + sigmoid(sums[0]) * sums[2]);
    return now + sigmoid(sums[1]) * (shown - now);
  }
};

/// What a group of sequences keeps between steps: what they show, now and later, and what cells remember.
struct States {
  float *shown, *later, *memory;
  std::int64_t stride;  ///< of a sequence's row of what is shown
};

template <class Cell, int kSequences>
__device__ inline void multiply(Cell (&cells)[kSequences], const float4* weights, const States& states,
                                std::int64_t hidden) {
  for (std::int64_t k = 0; k < states.stride; k += 4, weights += Cell::kGates * hidden) {
    float4 w[Cell::kGates];
    for (int g = 0; g < Cell::kGates; ++g) w[g] = weights[g * hidden];
    for (int s = 0; s < kSequences; ++s) {
      const float4 h = *reinterpret_cast<const float4*>(states.shown + s * states.stride + k);
      for (int g = 0; g < Cell::kGates; ++g) {
        float& sum = cells[s].sums[g];
        sum += w[g].x * h.x;
        sum += w[g].y * h.y;
        sum += w[g].z * h.z;
        sum += w[g].w * h.w;
      }
    }
  }
}

/// One unit of a group's sequences, one step on. `tokens`: where the sequences are in this step, -1 for none.
template <class Cell, int kSequences>
__device__ inline void advance(const Recurrence& layer, const float4* weights, const States& states,
                               const std::int64_t* tokens, std::int64_t direction, std::int64_t unit) {
  const std::int64_t hidden = layer.hidden, before = direction * layer.sequences * layer.steps;
  Cell cells[kSequences];
  for (int s = 0; s < kSequences; ++s)
    if (tokens[s] >= 0)
      cells[s].begin(layer, layer.gates + (before + tokens[s]) * Cell::kGates * hidden + unit, direction,
                     unit);
  multiply(cells, weights + unit, states, hidden);
  for (int s = 0; s < kSequences; ++s) {
    const std::int64_t at = s * states.stride + unit;
    const float value = cells[s].finish(states.shown[at], states.memory + s * hidden + unit);
    states.later[at] = value;
    if (tokens[s] >= 0)
      layer.output[tokens[s] * layer.output_width + layer.output_offset + direction * hidden + unit] = value;
  }
}

/// Numbers that all groups of a block remember: one where cells show all they have.
template <class Cell, int kSequences>
__host__ __device__ constexpr std::size_t memories(std::size_t groups, std::size_t hidden) {
  return Cell::kRemembers ? groups * kSequences * hidden : 1;
}

/// kShared: the weights lie in shared memory, which the compiler has to know to read them as such.
template <class Cell, int kSequences, bool kShared>
__global__ void __launch_bounds__(kRecurrenceThreads, 2)
    recurrence_kernel(Recurrence layer, std::int64_t rows) {
  const std::int64_t hidden = layer.hidden, direction = blockIdx.y,
                     weights = rows / 4 * Cell::kGates * hidden,
                     first = (std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y) * kSequences;
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
  const auto groups = static_cast<std::size_t>(blockDim.y), units = static_cast<std::size_t>(hidden);
  const std::size_t a_group = kSequences * static_cast<std::size_t>(rows),
                    remembered = memories<Cell, kSequences>(groups, units);
  SharedMemory shared;
  float* shown = shared.take<float>(2 * groups * a_group);
  float* memory = shared.take<float>(remembered);
  float4* copy = shared.take<float4>(kShared ? static_cast<std::size_t>(weights) : 1);
  for (std::size_t i = thread; i < 2 * groups * a_group; i += threads) shown[i] = 0.0f;
  for (std::size_t i = thread; i < remembered; i += threads) memory[i] = 0.0f;
  const float4* given = reinterpret_cast<const float4*>(layer.weight_hh + direction * layer.weight_stride);
  if constexpr (kShared)
    for (std::int64_t i = thread; i < weights; i += threads) copy[i] = given[i];
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
                        memory + (Cell::kRemembers ? threadIdx.y * kSequences * units : 0), rows};
    std::int64_t tokens[kSequences];
    for (int s = 0; s < kSequences; ++s) tokens[s] = starts[s] < 0 ? -1 : starts[s] + t * layer.inner;
    for (std::int64_t unit = threadIdx.x; unit < hidden; unit += blockDim.x)
      advance<Cell, kSequences>(layer, kShared ? copy : given, states, tokens, direction, unit);
    __syncthreads();
  }
}

template <class Cell, int kSequences>
void launch_recurrence(const Recurrence& layer, unsigned groups, Stream stream) {
  const std::int64_t padded = recurrence_rows(layer.hidden);
  const auto hidden = static_cast<std::size_t>(layer.hidden), rows = static_cast<std::size_t>(padded);
  const std::size_t states = shared_bytes<float>(2 * groups * kSequences * rows) +
                             shared_bytes<float>(memories<Cell, kSequences>(groups, hidden)),
                    weights = shared_bytes<float4>(rows / 4 * Cell::kGates * hidden);
  const bool fits = states + weights <= shared_limit();
  const auto units = static_cast<unsigned>((layer.hidden + kWarp - 1) / kWarp * kWarp);
  const std::int64_t a_block = std::int64_t{groups} * kSequences;
  const dim3 grid{static_cast<unsigned>((layer.sequences + a_block - 1) / a_block),
                  static_cast<unsigned>(layer.directions), 1},
      block{units < kRecurrenceThreads / groups ? units : kRecurrenceThreads / groups, groups, 1};
  const std::size_t bytes = states + (fits ? weights : shared_bytes<float4>(1));
  if (fits)
    return launch(recurrence_kernel<Cell, kSequences, true>, grid, block, bytes, stream, layer, padded);
  launch(recurrence_kernel<Cell, kSequences, false>, grid, block, bytes, stream, layer, padded);
}

template <class Cell>
void run(const Recurrence& layer, void* given, RecurrenceTiling tiling) {
  if (layer.sequences == 0 || layer.steps == 0 || layer.hidden == 0) return;
  const auto stream = static_cast<Stream>(given);
  if (tiling.sequences == 2) return launch_recurrence<Cell, 2>(layer, tiling.groups, stream);
  launch_recurrence<Cell, 8>(layer, tiling.groups, stream);
}

}  // namespace

RecurrenceTiling recurrence_tiling(const Recurrence& layer) {
  constexpr std::int64_t kBlocks = 256;  // enough for a whole device
  const std::int64_t chains = layer.sequences * layer.directions;
  if (chains < 8 * kBlocks / 2 || layer.hidden > 1024) return {2, 1};
  unsigned groups = 1;
  while (groups < 4 && chains >= 16 * kBlocks * groups && layer.hidden * groups * 2 <= kRecurrenceThreads)
    groups *= 2;
  return {8, groups};
}

void lstm_recurrence(const Recurrence& layer, void* stream, RecurrenceTiling tiling) {
  run<LstmCell>(layer, stream, tiling);
}

void gru_recurrence(const Recurrence& layer, void* stream, RecurrenceTiling tiling) {
  run<GruCell>(layer, stream, tiling);
}

}  // namespace pollard::kernels::cuda
