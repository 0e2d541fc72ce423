// SPDX-License-Identifier: Apache-2.0
// What the CUDA kernels reach of the limits of the GPU they run on, all measured in this run: how fast it copies memory, and
// how fast it multiplies and adds, in single precision or, for kernels in bf16, on tensor cores.
//
//     build/cuda/tests/gpu/cuda_roofline [REPEAT]
//
// A kernel's limit is the larger of the time its arithmetic takes at the measured rate and that of its least traffic (every
// input read once, every output written once) at the speed of a copy. Median of REPEAT (20) runs after 3 others.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/cascaded_attention.h"
#include "kernels/cuda/dialect.cuh"
#include "kernels/cuda/focused_attention.h"
#include "kernels/cuda/masked_attention.h"
#include "kernels/cuda/mlstm.h"
#include "kernels/cuda/monarch.h"
#include "kernels/cuda/power_sums.h"
#include "kernels/cuda/recurrence.h"
#include "kernels/cuda/recurrence_bf16.h"
#include "kernels/cuda/slice_rows.h"

namespace {

using namespace pollard::kernels::cuda;
using Index = std::int64_t;

void require(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(status));
  std::exit(1);
}

template <class T>
class Memory {
 public:
  explicit Memory(Index count) : count_(static_cast<std::size_t>(count)) {
    require(cudaMalloc(&data_, bytes()));
  }
  explicit Memory(const std::vector<T>& values) : Memory(static_cast<Index>(values.size())) {
    require(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice));
  }
  ~Memory() { cudaFree(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  T* data() const { return data_; }
  std::size_t bytes() const { return count_ * sizeof(T); }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

/// Numbers with a normal distribution, a million of them again and again.
Memory<float>& random(Index count, float scale, std::vector<Memory<float>*>& keep) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> some(std::size_t{1} << 20), all(static_cast<std::size_t>(count));
  for (float& x : some) x = normal(generator);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = some[i % some.size()];
  keep.push_back(new Memory<float>(all));
  return *keep.back();
}

int repeat = 20;

double seconds(const std::function<void()>& work) {
  cudaEvent_t start, stop;
  require(cudaEventCreate(&start));
  require(cudaEventCreate(&stop));
  std::vector<double> times;
  for (int run = -3; run < repeat; ++run) {
    require(cudaEventRecord(start));
    work();
    require(cudaEventRecord(stop));
    require(cudaEventSynchronize(stop));
    float milliseconds = 0;
    require(cudaEventElapsedTime(&milliseconds, start, stop));
    if (run >= 0) times.push_back(milliseconds / 1000.0);
  }
  require(cudaGetLastError());
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

__global__ void multiply_add(float* out, int rounds) {
  float sums[16];
  const float a = 1.0f + 1e-7f * static_cast<float>(threadIdx.x), b = 1e-3f * static_cast<float>(blockIdx.x);
  for (int i = 0; i < 16; ++i) sums[i] = static_cast<float>(i);
  for (int r = 0; r < rounds; ++r)
    for (int i = 0; i < 16; ++i) sums[i] = sums[i] * a + b;
  float sum = 0;
  for (int i = 0; i < 16; ++i) sum += sums[i];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

__global__ void multiply_tiles(float* out, int rounds) {
  constexpr int kTilesAtOnce = 8;
  float sums[kTilesAtOnce][4] = {};
  const unsigned a[4] = {threadIdx.x, 1, 2, blockIdx.x}, b[2] = {threadIdx.x, 3};
  for (int r = 0; r < rounds; ++r)
    for (int i = 0; i < kTilesAtOnce; ++i) multiply_bf16(sums[i], a, b);
  float sum = 0;
  for (int i = 0; i < kTilesAtOnce; ++i) sum += sums[i][0] + sums[i][1] + sums[i][2] + sums[i][3];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

double copy_speed() {
  const Memory<float> from(Index{1} << 28), to(Index{1} << 28);
  require(cudaMemset(from.data(), 1, from.bytes()));
  return 2.0 * static_cast<double>(from.bytes()) /
         seconds([&] { cudaMemcpyAsync(to.data(), from.data(), from.bytes(), cudaMemcpyDeviceToDevice); });
}

double arithmetic_speed(int multiprocessors) {
  constexpr int kThreads = 256, kRounds = 4096;
  const int blocks = multiprocessors * 16;
  const Memory<float> out(Index{blocks} * kThreads);
  return 2.0 * 16 * kRounds * blocks * kThreads /
         seconds([&] { multiply_add<<<blocks, kThreads>>>(out.data(), kRounds); });
}

/// Of products of 16 x 16 by 16 x 8 bf16, a warp each.
double tensor_speed(int multiprocessors) {
  constexpr int kThreads = 256, kRounds = 4096;
  const int blocks = multiprocessors * 8;
  const Memory<float> out(Index{blocks} * kThreads);
  return 2.0 * 16 * 16 * 8 * 8 * kRounds * blocks * (kThreads / 32) /
         seconds([&] { multiply_tiles<<<blocks, kThreads>>>(out.data(), kRounds); });
}

/// A row's name, sizes in the places of %lld.
template <class... Sizes>
std::string label(const char* format, Sizes... sizes) {
  char text[128];
  std::snprintf(text, sizeof text, format, static_cast<long long>(sizes)...);
  return text;
}

struct Limits {
  double bytes, operations;  ///< a second
};

void report(const Limits& limits, const std::string& what, double operations, double bytes, double time) {
  const double arithmetic = operations / limits.operations, traffic = bytes / limits.bytes,
               limit = std::max(arithmetic, traffic);
  std::printf("%-52s %9.1f us %7.1f TF/s %7.0f GB/s  %-10s %5.1f %%\n", what.c_str(), 1e6 * time,
              operations / time / 1e12, bytes / time / 1e9, arithmetic > traffic ? "arithmetic" : "memory",
              100 * limit / time);
  std::fflush(stdout);
}

std::string columns_label(const char* name, Index images, Index side, Index hidden) {
  return name + label(", columns of %lld x %lldx%lld, H %lld", images, side, side, hidden);
}

/// A recurrent layer of `gates` gates, both ways along the columns of maps.
void recurrence(const Limits& limits, const char* name, Index gates,
                void (*run)(const Recurrence&, void*, RecurrenceTiling), Index images, Index side,
                Index hidden) {
  std::vector<Memory<float>*> keep;
  const Index tokens = images * side * side, width = 2 * gates * hidden,
              recurrent = recurrence_rows(hidden) * gates * hidden, stride = (recurrent + hidden + 3) / 4 * 4;
  const Memory<float> output(tokens * 4 * hidden);
  const float* const weights = random(2 * stride, 0.1f, keep).data();
  const Recurrence layer{random(tokens * width, 1, keep).data(),
                         weights,
                         weights + recurrent,
                         stride,
                         output.data(),
                         images * side,
                         side,
                         side,
                         hidden,
                         2,
                         4 * hidden,
                         0};
  const std::string what = columns_label(name, images, side, hidden);
  report(limits, what, static_cast<double>(tokens) * 2 * static_cast<double>(width * hidden),
         4.0 * static_cast<double>(tokens) * static_cast<double>(width + 2 * hidden),
         seconds([&] { run(layer, nullptr, recurrence_tiling(layer)); }));
  for (Memory<float>* memory : keep) delete memory;
}

/// The same in bf16: gates of padded units are read too, what padding multiplies is not counted.
void recurrence_bf16(const Limits& limits, const char* name, Index gates,
                     void (*run)(const RecurrenceBf16&, void*), Index images, Index side, Index hidden) {
  const Index tokens = images * side * side, units = bf16_units(hidden), width = 2 * gates * units,
              recurrent = gates * units * units, stride = recurrent + units;
  const Memory<std::uint16_t> output(tokens * 4 * hidden);
  const auto halves = [&](Index count, float scale) {
    std::vector<unsigned> words(static_cast<std::size_t>(count / 2));
    std::mt19937 generator(7);
    std::normal_distribution<float> normal(0, scale);
    std::vector<unsigned> some(std::size_t{1} << 20);
    for (unsigned& word : some) {
      const float pair[2] = {normal(generator), normal(generator)};
      unsigned bits[2];
      std::memcpy(bits, pair, sizeof bits);
      word = bits[0] >> 16 | (bits[1] & 0xFFFF0000U);
    }
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = some[i % some.size()];
    return words;
  };
  const Memory<unsigned> given(halves(tokens * width, 1)), weights(halves(2 * stride, 0.1f));
  const RecurrenceBf16 layer{given.data(),
                             weights.data(),
                             weights.data() + recurrent / 2,
                             stride / 2,
                             output.data(),
                             images * side,
                             side,
                             side,
                             hidden,
                             2,
                             4 * hidden,
                             0};
  const std::string what = columns_label(name, images, side, hidden);
  report(limits, what, static_cast<double>(tokens) * 4 * static_cast<double>(gates * hidden * hidden),
         2.0 * static_cast<double>(tokens) * static_cast<double>(width + 2 * hidden),
         seconds([&] { run(layer, nullptr); }));
}

void lstm(const Limits& limits, Index images, Index side, Index hidden) {
  recurrence(limits, "LSTM", 4, lstm_recurrence, images, side, hidden);
}

void gru(const Limits& limits, Index images, Index side, Index hidden) {
  recurrence(limits, "GRU", 3, gru_recurrence, images, side, hidden);
}

void mlstm(const Limits& limits, Index heads, Index steps, Index width) {
  std::vector<Memory<float>*> keep;
  const Index positions = heads * steps;
  const Memory<float> output(positions * width), work(3 * positions);
  Mlstm layer{random(positions * width, 1, keep).data(),
              random(positions * width, 0.1f, keep).data(),
              random(positions * width, 1, keep).data(),
              random(positions, 1, keep).data(),
              random(positions, 1, keep).data(),
              output.data(),
              work.data(),
              work.data() + positions,
              work.data() + 2 * positions,
              heads,
              steps,
              width,
              width,
              1e-6f};
  const std::string what = label("mLSTM, %lld heads, S %lld, d %lld", heads, steps, width);
  const double pairs = static_cast<double>(steps) * static_cast<double>(steps + 1) / 2;
  report(limits, what, static_cast<double>(heads) * pairs * 4 * static_cast<double>(width),
         16.0 * static_cast<double>(positions * width), seconds([&] { mlstm(layer, nullptr); }));
  for (Memory<float>* memory : keep) delete memory;
}

void focused(const Limits& limits, Index batch, Index queries, Index keys, Index heads, Index width) {
  std::vector<Memory<float>*> keep;
  const Index C = heads * width;
  const Memory<float> output(batch * queries * C);
  FocusedAttention call{{random(batch * queries * C, 1, keep).data(), queries, queries * C, C},
                        {random(batch * keys * C, 1, keep).data(), keys, keys * C, C},
                        {random(batch * keys * C, 1, keep).data(), keys, keys * C, C},
                        random(C, 1, keep).data(),
                        output.data(),
                        nullptr,
                        batch,
                        heads,
                        width,
                        width,
                        3};
  const Memory<float> work(focused_work(call));
  call.work = work.data();
  const std::string what = label("focused attention, %lld of %lld, n %lld, %lld heads, d %lld", batch,
                                 queries, keys, heads, width);
  report(limits, what, static_cast<double>(batch * (queries + keys)) * 2 * static_cast<double>(C * width),
         8.0 * static_cast<double>(batch * (queries + keys) * C),
         seconds([&] { focused_attention(call, nullptr); }));
  for (Memory<float>* memory : keep) delete memory;
}

/// Every `closed`-th head is closed; 0 for none.
void masked(const Limits& limits, Index batch, Index heads, Index positions, Index width, Index closed) {
  std::vector<Memory<float>*> keep;
  const Index numbers = batch * heads * positions * width;
  std::vector<float> gates(static_cast<std::size_t>(batch * heads), 1.0f);
  for (std::size_t h = 0; h < gates.size(); ++h)
    if (closed != 0 && static_cast<Index>(h) % closed == 0) gates[h] = 0;
  const Memory<float> output(numbers), gates_there(gates);
  const auto rows = [&] {
    return HeadRows{random(numbers, 1, keep).data(), heads * positions * width, positions * width, width};
  };
  const MaskedAttention call{rows(),        rows(), rows(), {},        gates_there.data(),
                             output.data(), batch,  heads,  positions, positions,
                             width,         width,  0.125f, false};
  const std::string what = label("attention, %lld x %lld heads, S %lld, d %lld, closed 1 of %lld", batch,
                                 heads, positions, width, closed);
  const double open = closed == 0 ? 1 : 1 - 1 / static_cast<double>(closed);
  report(limits, what, open * 4 * static_cast<double>(numbers) * static_cast<double>(positions),
         4 * (3 * open + 1) * static_cast<double>(numbers),
         seconds([&] { masked_attention(call, nullptr); }));
  for (Memory<float>* memory : keep) delete memory;
}

/// Windows of side x side positions; heads read and give `width` channels.
void cascade(const Limits& limits, Index windows, int side, int heads, int width, int keys) {
  std::vector<Memory<float>*> keep;
  const Index n = side * side, channels = heads * width, made = 2 * keys + width;
  const Memory<float> output(windows * channels * n);
  CascadedAttention call{random(windows * channels * n, 1, keep).data(),
                         random(heads * n * n, 1, keep).data(),
                         output.data(),
                         windows,
                         side,
                         side,
                         heads,
                         0.25f,
                         {}};
  double operations = 0;
  for (int h = 0; h < heads; ++h) {
    const int reach = h == 0 ? 7 : 5;
    call.head[h] = {random(made * width, 0.1f, keep).data(),
                    random(made, 1, keep).data(),
                    random(keys * reach * reach, 0.2f, keep).data(),
                    random(keys, 1, keep).data(),
                    width,
                    keys,
                    width,
                    reach};
    operations += 2.0 * static_cast<double>(n * (made * width + keys * reach * reach + n * (keys + width)));
  }
  report(limits, label("cascades, %lld of %lldx%lld, %lld heads of %lld", windows, side, side, heads, width),
         static_cast<double>(windows) * operations,
         4.0 * static_cast<double>(2 * windows * channels * n + heads * (made * width + n * n)),
         seconds([&] { cascaded_attention(call, nullptr); }));
  for (Memory<float>* memory : keep) delete memory;
}

/// `blocks` blocks of `rank` columns each in both factors, as `pollard compress --monarch` makes them.
void monarch(const Limits& limits, Index rows, Index inputs, Index outputs, Index blocks, Index rank) {
  std::vector<Memory<float>*> keep;
  const Index q = rank * blocks, middle_width = q * blocks, weights = q * (inputs + outputs);
  const Memory<float> middle(rows * middle_width), output(rows * outputs);
  const Monarch call{random(rows * inputs, 1, keep).data(),
                     random(q * inputs, 0.1f, keep).data(),
                     random(q * outputs, 0.1f, keep).data(),
                     middle.data(),
                     output.data(),
                     rows,
                     blocks,
                     q,
                     inputs / blocks,
                     blocks,
                     outputs / blocks,
                     q};
  report(limits, label("Monarch, %lld rows, %lld to %lld, rank %lld", rows, inputs, outputs, rank),
         2.0 * static_cast<double>(rows) * static_cast<double>(weights),
         4.0 * static_cast<double>(rows * (inputs + outputs) + weights),
         seconds([&] { monarch(call, nullptr); }));
  for (Memory<float>* memory : keep) delete memory;
}

void sums(const Limits& limits, Index rows, Index length) {
  std::vector<Memory<float>*> keep;
  const Memory<double> out(rows + length), partial(partial_sums(rows, length));
  const PowerSums weight{
      random(rows * length, 1, keep).data(), rows, length, 2, out.data(), out.data() + rows, partial.data()};
  const std::string what = label("squares of rows and columns, %lld x %lld", rows, length);
  report(limits, what, 0, 4.0 * static_cast<double>(rows * length),
         seconds([&] { power_sums(weight, nullptr); }));
  for (Memory<float>* memory : keep) delete memory;
}

void slices(const Limits& limits, Index rows, Index columns, Index unit) {
  std::mt19937 generator(5);
  const auto half = [&](Index count) {
    std::vector<Index> kept;
    for (Index i = 0; i < count; ++i)
      if (generator() % 2 == 0) kept.push_back(i);
    return kept;
  };
  const std::vector<Index> kept_rows = half(rows), kept_columns = half(columns);
  const Memory<Index> row_numbers(kept_rows), column_numbers(kept_columns);
  const auto row_count = static_cast<Index>(kept_rows.size()),
             column_count = static_cast<Index>(kept_columns.size());
  const Memory<unsigned char> input(rows * columns * unit), output(row_count * column_count * unit);
  require(cudaMemset(input.data(), 1, input.bytes()));
  const SliceRows slice{
      input.data(), output.data(), row_numbers.data(), column_numbers.data(), row_count, column_count,
      columns,      unit};
  const std::string what = label("half of rows and columns, %lld x %lld x %lld bytes", rows, columns, unit);
  // Sectors are 32 bytes: of smaller units nearly all of a kept row has to come.
  const double read = unit >= 32 ? static_cast<double>(column_count) : static_cast<double>(columns);
  report(
      limits, what, 0,
      static_cast<double>(row_count) * static_cast<double>(unit) * (read + static_cast<double>(column_count)),
      seconds([&] { slice_rows(slice, nullptr); }));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) repeat = std::max(1, std::atoi(argv[1]));
  cudaDeviceProp device;
  require(cudaGetDeviceProperties(&device, 0));
  const Limits limits{copy_speed(), arithmetic_speed(device.multiProcessorCount)};
  const Limits tensor{limits.bytes, tensor_speed(device.multiProcessorCount)};
  std::printf(
      "%s: copies %.0f GB/s (read and written), multiplies and adds %.1f TF/s in f32, %.1f TF/s in bf16 on "
      "tensor "
      "cores\n",
      device.name, limits.bytes / 1e9, limits.operations / 1e12, tensor.operations / 1e12);
  for (const Index images : {1, 8, 64, 256}) lstm(limits, images, 32, 48);
  for (const Index images : {1, 64, 256}) lstm(limits, images, 16, 96);
  lstm(limits, 64, 32, 37);
  for (const Index images : {1, 64, 256}) gru(limits, images, 32, 48);
  gru(limits, 64, 16, 96);
  for (const Index images : {1, 8, 64, 256})
    recurrence_bf16(tensor, "LSTM bf16", 4, lstm_recurrence_bf16, images, 32, 48);
  for (const Index images : {1, 64, 256})
    recurrence_bf16(tensor, "LSTM bf16", 4, lstm_recurrence_bf16, images, 16, 96);
  recurrence_bf16(tensor, "LSTM bf16", 4, lstm_recurrence_bf16, 64, 32, 37);
  recurrence_bf16(tensor, "GRU bf16", 3, gru_recurrence_bf16, 256, 32, 48);
  recurrence_bf16(tensor, "GRU bf16", 3, gru_recurrence_bf16, 256, 16, 96);
  for (const Index width : {48, 96, 192, 384}) mlstm(limits, 64 * 4, 196, width);
  mlstm(limits, 8, 3136, 96);
  mlstm(limits, 4, 196, 192);
  focused(limits, 64, 197, 197, 3, 64);
  focused(limits, 4096, 49, 49, 3, 32);
  focused(limits, 64, 3136, 49, 1, 64);
  focused(limits, 1, 3136, 3136, 2, 32);
  for (const Index closed : {0, 2}) masked(limits, 64, 12, 197, 64, closed);
  for (const Index images : {1, 64, 256}) {
    cascade(limits, 4 * images, 7, 4, 16, 16);
    cascade(limits, 4 * images, 7, 3, 64, 16);
    cascade(limits, images, 7, 3, 96, 16);
    cascade(limits, images, 4, 4, 96, 16);
  }
  for (const Index rows : {16, 197, 64 * 197}) {
    monarch(limits, rows, 384, 384, 4, 24);
    monarch(limits, rows, 768, 3072, 4, 76);
    monarch(limits, rows, 3072, 768, 4, 76);
  }
  for (const Index rows : {1024, 4096, 16384}) sums(limits, rows, rows);
  sums(limits, 512, 4608);
  for (const Index unit : {2, 4, 36}) slices(limits, 8192, unit == 36 ? 2048 : 8192, unit);
  slices(limits, 512, 512, 36);
  return 0;
}
