// SPDX-License-Identifier: Apache-2.0
// One block runs all steps of sixteen sequences in one direction, without a word to other blocks. A warp has eight units: their
// recurrent weights stay in its registers while all steps run, and one product per gate gives every lane all gates of its four
// cells, two units of two sequences. What units show goes to the other warps through shared memory, one barrier a step. Gates
// of later steps come in the background, every warp's own into its own places.
#include "kernels/cuda/recurrence_bf16.h"

#include "kernels/cuda/dialect.cuh"

namespace pollard::kernels::cuda {
namespace {

constexpr int kBf16Rows = 16;  ///< sequences of a block
constexpr int kBf16Cells =
    4;  ///< of a lane: [row, unit], [row, unit + 1], [row + 8, unit], [row + 8, unit + 1]
constexpr int kBf16Stages = 4;  ///< steps whose gates are here or on their way

__device__ inline float fast_sigmoid(float x) { return 0.5f + 0.5f * fast_tanh(0.5f * x); }

/// What a lane has of one step: sums[gate][cell] and, of a GRU, what the inputs give to n, which the reset gate leaves alone.
template <int kGates>
struct Bf16Sums {
  float sums[kGates][kBf16Cells], entering[kBf16Cells];
};

// A cell: `begin` parts what its inputs gave from what is to be added to, `finish` tells what cell i shows after the products.
// `memory` is in single precision.

struct Bf16Lstm {
  static constexpr int kGates = 4;
  __device__ static void begin(Bf16Sums<kGates>& /*of*/, const float (&/*bias*/)[2]) {}
  __device__ static float finish(const Bf16Sums<kGates>& of, int i, float& memory) {
    memory = fast_sigmoid(of.sums[1][i]) * memory + fast_sigmoid(of.sums[0][i]) * fast_tanh(of.sums[2][i]);
    return fast_sigmoid(of.sums[3][i]) * fast_tanh(memory);
  }
};

struct Bf16Gru {
  static constexpr int kGates = 3;
  __device__ static void begin(Bf16Sums<kGates>& of, const float (&bias)[2]) {
    for (int i = 0; i < kBf16Cells; ++i) {
      of.entering[i] = of.sums[2][i];
      of.sums[2][i] = bias[i % 2];
    }
  }
  __device__ static float finish(const Bf16Sums<kGates>& of, int i, float& memory) {
    const float now = fast_tanh(of.entering[i] + fast_sigmoid(of.sums[0][i]) * of.sums[2][i]);
    return memory = now + fast_sigmoid(of.sums[1][i]) * (memory - now);
  }
};

/// A row of gates as a stage keeps it: an odd number of quadruples of words, so that eight rows lie in different banks.
template <class Cell>
constexpr int kGateStride = Cell::kGates * 4 | 4;
/// A row of what units show, likewise.
template <int kSlices>
constexpr int kShownStride = kSlices * 8 + 4;

/// The gates of a warp's units, sixteen bytes a gate and row: where the next step's are in global memory.
template <class Cell>
class GateReader {
 public:
  __device__ GateReader(const RecurrenceBf16& layer, std::int64_t first, int octet, int octets)
      : token_words_(std::int64_t{octets} * Cell::kGates * 4) {
    const std::int64_t direction = blockIdx.y, start = direction == 0 ? 0 : (layer.steps - 1) * layer.inner;
    stride_ = (direction == 0 ? layer.inner : -layer.inner) * token_words_;
    for (int i = 0; i < kPieces; ++i) {
      // Rows beyond the last sequence read that one's.
      const std::int64_t wanted = first + piece(i) / Cell::kGates,
                         r = wanted < layer.sequences ? wanted : layer.sequences - 1,
                         token = r / layer.inner * layer.steps * layer.inner + r % layer.inner + start;
      from_[i] = layer.gates + (direction * layer.sequences * layer.steps + token) * token_words_ +
                 (std::int64_t{octet} * Cell::kGates + piece(i) % Cell::kGates) * 4;
    }
  }
  /// Begins the copies of one step.
  __device__ void begin(unsigned* stage) {
    for (int i = 0; i < kPieces; ++i) {
      if (piece(i) < kBf16Rows * Cell::kGates)
        copy_async(stage + piece(i) / Cell::kGates * kGateStride<Cell> + piece(i) % Cell::kGates * 4,
                   from_[i]);
      from_[i] += stride_;
    }
  }

 private:
  static constexpr int kPieces =
      (kBf16Rows * Cell::kGates + static_cast<int>(kWarp) - 1) / static_cast<int>(kWarp);
  /// Row and gate, numbered by row: this lane's i-th.
  __device__ static int piece(int i) {
    return static_cast<int>(threadIdx.x % kWarp) + i * static_cast<int>(kWarp);
  }

  std::int64_t token_words_, stride_;
  const unsigned* from_[kPieces];
};

/// Where a lane's rows of one direction are written.
class OutputWriter {
 public:
  __device__ OutputWriter(const RecurrenceBf16& layer, std::int64_t first, int row, int unit)
      : units_(layer.hidden - unit < 2 ? static_cast<int>(layer.hidden - unit) : 2),
        paired_((layer.hidden | layer.output_width | layer.output_offset) % 2 == 0) {
    const std::int64_t direction = blockIdx.y, start = direction == 0 ? 0 : (layer.steps - 1) * layer.inner;
    stride_ = (direction == 0 ? layer.inner : -layer.inner) * layer.output_width;
    for (int half = 0; half < 2; ++half) {
      const std::int64_t r = first + row + half * 8;
      there_[half] = r < layer.sequences;
      to_[half] =
          layer.output +
          (r / layer.inner * layer.steps * layer.inner + r % layer.inner + start) * layer.output_width +
          layer.output_offset + direction * layer.hidden + unit;
    }
  }
  __device__ void write(int half, unsigned pair) {
    if (there_[half] && paired_ && units_ > 0) {
      *reinterpret_cast<unsigned*>(to_[half]) = pair;
    } else if (there_[half]) {
      if (units_ > 0) to_[half][0] = static_cast<std::uint16_t>(pair);
      if (units_ > 1) to_[half][1] = static_cast<std::uint16_t>(pair >> 16);
    }
    to_[half] += stride_;
  }

 private:
  int units_;
  bool paired_, there_[2];
  std::int64_t stride_;
  std::uint16_t* to_[2];
};

/// What a lane keeps while all steps run.
template <class Cell, int kSlices>
struct Bf16Lane {
  unsigned weights[kSlices][Cell::kGates][2];
  float bias[2] = {}, memory[kBf16Cells] = {};

  /// `word`: which two units, of the block's.
  __device__ Bf16Lane(const RecurrenceBf16& layer, int octet, int word) {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const unsigned* const given = layer.weight_hh + blockIdx.y * layer.weight_stride;
    for (int k = 0; k < kSlices; ++k)
      for (int g = 0; g < Cell::kGates; ++g)
        for (int half = 0; half < 2; ++half)
          weights[k][g][half] =
              given[((octet * kSlices + k) * Cell::kGates + g) * 2 * static_cast<int>(kWarp) + lane * 2 +
                    half];
    if constexpr (Cell::kGates == 3) {
      const unsigned pair = layer.bias_hn[blockIdx.y * layer.weight_stride + word];
      bias[0] = low_bf16(pair), bias[1] = high_bf16(pair);
    }
  }

  /// One step: gates from a stage, products with what all units showed, and what the lane's cells show, two units a word.
  __device__ void advance(const unsigned* stage, const unsigned* shown, unsigned (&showing)[2]) {
    const int row = static_cast<int>(threadIdx.x % kWarp) / 4, column = static_cast<int>(threadIdx.x) % 4;
    Bf16Sums<Cell::kGates> of;
    for (int g = 0; g < Cell::kGates; ++g)
      for (int half = 0; half < 2; ++half) {
        const unsigned pair = stage[(row + half * 8) * kGateStride<Cell> + g * 4 + column];
        of.sums[g][2 * half] = low_bf16(pair);
        of.sums[g][2 * half + 1] = high_bf16(pair);
      }
    Cell::begin(of, bias);
    const unsigned* const upper = shown + row * kShownStride<kSlices> + column;
    const unsigned* const lower = upper + 8 * kShownStride<kSlices>;
    for (int k = 0; k < kSlices; ++k) {
      const unsigned states[4] = {upper[k * 8], lower[k * 8], upper[k * 8 + 4], lower[k * 8 + 4]};
      for (int g = 0; g < Cell::kGates; ++g) multiply_bf16(of.sums[g], states, weights[k][g]);
    }
    float values[kBf16Cells];
    for (int i = 0; i < kBf16Cells; ++i) values[i] = Cell::finish(of, i, memory[i]);
    for (int half = 0; half < 2; ++half) showing[half] = pack_bf16(values[2 * half], values[2 * half + 1]);
  }
};

/// Threads of a block: a warp for every eight of 16 kSlices units.
template <int kSlices>
constexpr unsigned kBf16Threads = 2 * kSlices* kWarp;

template <class Cell, int kSlices>
__global__ void __launch_bounds__(kBf16Threads<kSlices>) recurrence_bf16_kernel(RecurrenceBf16 layer) {
  constexpr int kOctets = 2 * kSlices, kStage = kBf16Rows * kGateStride<Cell>,
                kShown = kBf16Rows * kShownStride<kSlices>;
  const int lane = static_cast<int>(threadIdx.x % kWarp), octet = static_cast<int>(threadIdx.x / kWarp),
            row = lane / 4, word = octet * 4 + lane % 4;
  const std::int64_t first = std::int64_t{blockIdx.x} * kBf16Rows;
  SharedMemory shared;
  unsigned* const shown = shared.take<unsigned>(2 * kShown);
  unsigned* const stages =
      shared.take<unsigned>(kBf16Stages * kOctets * kStage) + octet * kBf16Stages * kStage;
  GateReader<Cell> reader(layer, first, octet, kOctets);
  for (int s = 0; s + 1 < kBf16Stages; ++s) {
    if (s < layer.steps) reader.begin(stages + s * kStage);
    commit_copies();
  }
  Bf16Lane<Cell, kSlices> own(layer, octet, word);
  OutputWriter writer(layer, first, row, 2 * word);
  for (int i = static_cast<int>(threadIdx.x); i < kShown; i += static_cast<int>(kBf16Threads<kSlices>))
    shown[i] = 0;
  wait_copies<kBf16Stages - 2>();
  __syncthreads();
  for (std::int64_t step = 0; step < layer.steps; ++step) {
    // Into the stage of the step before, which all have left.
    const std::int64_t ahead = step + kBf16Stages - 1;
    if (ahead < layer.steps) reader.begin(stages + static_cast<int>(ahead % kBf16Stages) * kStage);
    commit_copies();
    unsigned showing[2];
    own.advance(stages + static_cast<int>(step % kBf16Stages) * kStage,
                shown + static_cast<int>(step % 2) * kShown, showing);
    unsigned* const later = shown + static_cast<int>((step + 1) % 2) * kShown;
    for (int half = 0; half < 2; ++half) {
      later[(row + half * 8) * kShownStride<kSlices> + word] = showing[half];
      writer.write(half, showing[half]);
    }
    wait_copies<kBf16Stages - 2>();  // for the next step's gates
    __syncthreads();
  }
}

template <class Cell, int kSlices>
void launch_bf16(const RecurrenceBf16& layer, Stream stream) {
  if constexpr (kSlices * 16 < kMostBf16Units)
    if (layer.hidden > kSlices * 16) return launch_bf16<Cell, kSlices + 1>(layer, stream);
  const dim3 grid{static_cast<unsigned>((layer.sequences + kBf16Rows - 1) / kBf16Rows),
                  static_cast<unsigned>(layer.directions), 1},
      block{kBf16Threads<kSlices>, 1, 1};
  const std::size_t bytes = shared_bytes<unsigned>(2 * kBf16Rows * kShownStride<kSlices>) +
                            shared_bytes<unsigned>(kBf16Stages * 2 * kSlices * kBf16Rows * kGateStride<Cell>);
  launch(recurrence_bf16_kernel<Cell, kSlices>, grid, block, bytes, stream, layer);
}

template <class Cell>
void run_bf16(const RecurrenceBf16& layer, void* stream) {
  if (layer.sequences == 0 || layer.steps == 0 || layer.hidden == 0) return;
  launch_bf16<Cell, 1>(layer, static_cast<Stream>(stream));
}

}  // namespace

void lstm_recurrence_bf16(const RecurrenceBf16& layer, void* stream) { run_bf16<Bf16Lstm>(layer, stream); }
void gru_recurrence_bf16(const RecurrenceBf16& layer, void* stream) { run_bf16<Bf16Gru>(layer, stream); }

}  // namespace pollard::kernels::cuda
