// SPDX-License-Identifier: Apache-2.0
// Every CUDA kernel on ragged sizes, in every order of threads and blocks or on a GPU: right, and the same bit for bit.
#include "tests/emulation/backend.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/cuda/lstm.h"
#include "kernels/cuda/mlstm.h"
#include "kernels/cuda/power_sums.h"
#include "kernels/cuda/slice_rows.h"

namespace pollard::kernels::cuda {
namespace {

using Floats = std::vector<float>;
using Index = std::int64_t;

std::size_t size(Index n) { return static_cast<std::size_t>(n); }

Floats random(Index count, unsigned seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  Floats out(size(count));
  for (float& x : out) x = normal(generator);
  return out;
}

// LSTM ---------------------------------------------------------------------------------------------------------

struct LstmCase {
  Index outer, inner, steps, hidden, directions;
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// One sequence in one direction, in double.
void reference_sequence(const LstmRecurrence& l, Index sequence, Index direction, std::vector<double>& out) {
  const Index H = l.hidden, width = l.directions * 4 * H;
  std::vector<double> h(size(H)), c(size(H)), next(size(H));
  for (Index s = 0; s < l.steps; ++s) {
    const Index t = direction ? l.steps - 1 - s : s;
    const Index token = sequence / l.inner * l.steps * l.inner + sequence % l.inner + t * l.inner;
    for (Index j = 0; j < H; ++j) {
      double gate[4];
      for (Index g = 0; g < 4; ++g) {
        gate[g] = static_cast<double>(l.gates[token * width + direction * 4 * H + g * H + j]);
        for (Index k = 0; k < H; ++k)
          gate[g] += static_cast<double>(l.weight_hh[((direction * 4 + g) * H + j) * H + k]) * h[size(k)];
      }
      c[size(j)] = sigmoid(gate[1]) * c[size(j)] + sigmoid(gate[0]) * std::tanh(gate[2]);
      next[size(j)] = sigmoid(gate[3]) * std::tanh(c[size(j)]);
      out[size(token * l.output_width + l.output_offset + direction * H + j)] = next[size(j)];
    }
    h = next;
  }
}

/// [directions, 4 H, H] as the kernel takes it: [directions, rows, H, 4].
Floats turned(const Floats& weights, Index hidden, Index directions) {
  const Index rows = lstm_weight_rows(hidden);
  Floats out(size(directions * rows * hidden * 4));
  for (Index d = 0; d < directions; ++d)
    for (Index g = 0; g < 4; ++g)
      for (Index j = 0; j < hidden; ++j)
        for (Index k = 0; k < hidden; ++k)
          out[size(((d * rows + k) * hidden + j) * 4 + g)] =
              weights[size(((d * 4 + g) * hidden + j) * hidden + k)];
  return out;
}

class Lstm : public ::testing::TestWithParam<LstmCase> {};

TEST_P(Lstm, ComputesTheRecurrence) {
  const auto [outer, inner, steps, hidden, directions] = GetParam();
  const Index tokens = outer * inner * steps, width = directions * 4 * hidden, offset = 3,
              output_width = offset + directions * hidden;
  const Floats gates = random(tokens * width, 1), weights = random(width * hidden, 2, 0.3f);
  const Array<float> gates_there(gates), weights_there(turned(weights, hidden, directions));
  LstmRecurrence layer{gates_there.data(), weights_there.data(), nullptr, outer * inner, steps, inner, hidden,
                       directions,         output_width,         offset};
  const Floats got = on_every_schedule([&] {
    const Array<float> out(Floats(size(tokens * output_width), 0.0f));
    layer.output = out.data();
    lstm_recurrence(layer, nullptr);
    return out.values();
  });
  layer.gates = gates.data(), layer.weight_hh = weights.data();
  std::vector<double> want(got.size(), 0.0);
  for (Index r = 0; r < outer * inner; ++r)
    for (Index d = 0; d < directions; ++d) reference_sequence(layer, r, d, want);
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-6) << i;
}

INSTANTIATE_TEST_SUITE_P(Ragged, Lstm,
                         ::testing::Values(LstmCase{1, 1, 1, 1, 1}, LstmCase{1, 5, 3, 7, 2},
                                           LstmCase{2, 3, 4, 33, 2}, LstmCase{5, 1, 2, 95, 1},
                                           LstmCase{1, 2, 2, 117, 1},    // 117: weights from L2
                                           LstmCase{520, 2, 2, 5, 1}));  // several sequences a thread

#ifdef __CUDACC__  // for hours on the emulator
INSTANTIATE_TEST_SUITE_P(OfSequencer2D, Lstm,
                         ::testing::Values(LstmCase{8, 32, 32, 48, 2}, LstmCase{8, 16, 16, 96, 2},
                                           LstmCase{256, 1, 32, 37, 2}, LstmCase{5, 9, 100, 256, 2}));
#endif

// mLSTM --------------------------------------------------------------------------------------------------------

struct MlstmCase {
  Index heads, steps, width, value_width;
};

/// Step by step, in double: the recurrence whose parallel form the kernel computes.
std::vector<double> reference_mlstm(const Mlstm& m) {
  std::vector<double> out(size(m.heads * m.steps * m.value_width));
  for (Index head = 0; head < m.heads; ++head) {
    std::vector<double> memory(size(m.width * m.value_width)), total(size(m.width));
    double largest = -INFINITY;
    for (Index t = 0; t < m.steps; ++t) {
      const Index at = head * m.steps + t;
      const double i = m.i[at], keep = -std::log1p(std::exp(-static_cast<double>(m.f[at]))) + largest;
      const double now = t == 0 ? i : std::max(keep, i), fade = t == 0 ? 0 : std::exp(keep - now),
                   enter = std::exp(i - now);
      double sum = 0;
      for (Index a = 0; a < m.width; ++a) {
        const double key = static_cast<double>(m.k[at * m.width + a]) * enter;
        total[size(a)] = total[size(a)] * fade + key;
        sum += total[size(a)] * static_cast<double>(m.q[at * m.width + a]);
        for (Index b = 0; b < m.value_width; ++b) {
          double& cell = memory[size(a * m.value_width + b)];
          cell = cell * fade + key * static_cast<double>(m.v[at * m.value_width + b]);
          out[size(at * m.value_width + b)] += cell * static_cast<double>(m.q[at * m.width + a]);
        }
      }
      const double bottom = std::max(std::fabs(sum), std::exp(-now)) + static_cast<double>(m.eps);
      for (Index b = 0; b < m.value_width; ++b) out[size(at * m.value_width + b)] /= bottom;
      largest = now;
    }
  }
  return out;
}

class MlstmOf : public ::testing::TestWithParam<MlstmCase> {};

TEST_P(MlstmOf, ComputesTheRecurrenceInParallel) {
  const auto [heads, steps, width, value_width] = GetParam();
  const Index positions = heads * steps;
  const Floats q = random(positions * width, 5), k = random(positions * width, 6, 0.3f),
               v = random(positions * value_width, 7), i = random(positions, 8);
  Floats f = random(positions, 9);
  for (float& x : f) x += 3;
  const Array<float> q_there(q), k_there(k), v_there(v), i_there(i), f_there(f);
  const Floats got = on_every_schedule([&] {
    const Array<float> out(size(positions * value_width)), g(size(positions)), top(size(positions)),
        bound(size(positions));
    mlstm({q_there.data(), k_there.data(), v_there.data(), i_there.data(), f_there.data(), out.data(),
           g.data(), top.data(), bound.data(), heads, steps, width, value_width, 1e-6f},
          nullptr);
    return out.values();
  });
  const std::vector<double> want =
      reference_mlstm({q.data(), k.data(), v.data(), i.data(), f.data(), nullptr, nullptr, nullptr, nullptr,
                       heads, steps, width, value_width, 1e-6f});
  double most = 0;
  for (double x : want) most = std::max(most, std::fabs(x));
  for (std::size_t n = 0; n < got.size(); ++n) ASSERT_NEAR(got[n], want[n], 1e-4 * most) << n;
}

INSTANTIATE_TEST_SUITE_P(Ragged, MlstmOf,
                         ::testing::Values(MlstmCase{1, 1, 1, 1}, MlstmCase{2, 7, 5, 3},
                                           MlstmCase{1, 33, 33, 7}, MlstmCase{1, 50, 7, 95},
                                           MlstmCase{1, 17, 4, 150}, MlstmCase{1, 9, 3, 300},
                                           MlstmCase{1, 131, 35, 66}));

#ifdef __CUDACC__
INSTANTIATE_TEST_SUITE_P(OfVisionLstm, MlstmOf,
                         ::testing::Values(MlstmCase{12, 196, 96, 96}, MlstmCase{8, 729, 192, 192},
                                           MlstmCase{3, 301, 384, 384}, MlstmCase{2, 250, 129, 512}));
#endif

// Power sums ---------------------------------------------------------------------------------------------------

struct MatrixCase {
  Index rows, length;
  int power;
};

class PowerSumsOf : public ::testing::TestWithParam<MatrixCase> {};

TEST_P(PowerSumsOf, RowsAndColumnsAreExact) {
  const auto [rows, length, power] = GetParam();
  const Floats data = random(rows * length, 3);
  const Array<float> there(data);
  const std::vector<double> got = on_every_schedule([&] {
    const Array<double> sums(size(rows + length)), partial(size(partial_sums(rows, length)));
    power_sums({there.data(), rows, length, power, sums.data(), sums.data() + rows, partial.data()}, nullptr);
    return sums.values();
  });
  std::vector<double> want(got.size(), 0.0);
  for (Index r = 0; r < rows; ++r)
    for (Index c = 0; c < length; ++c) {
      const double x = std::fabs(static_cast<double>(data[size(r * length + c)]));
      want[size(r)] += power == 2 ? x * x : x;
      want[size(rows + c)] += power == 2 ? x * x : x;
    }
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-12 * (1 + want[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(Ragged, PowerSumsOf,
                         ::testing::Values(MatrixCase{1, 1, 1}, MatrixCase{7, 33, 2}, MatrixCase{33, 7, 1},
                                           MatrixCase{65, 95, 2}, MatrixCase{70, 130, 2}));

#ifdef __CUDACC__
INSTANTIATE_TEST_SUITE_P(OfLayers, PowerSumsOf,
                         ::testing::Values(MatrixCase{4096, 4096, 2}, MatrixCase{50257, 768, 1},
                                           MatrixCase{2048, 4609, 2}));
#endif

TEST(PowerSumsOf, RowsAloneAreGivenWithoutColumns) {
  const Array<float> data(Floats{1, -2, 3, 4, -5, 6});
  const Array<double> sums(2), partial(size(partial_sums(2, 3)));
  power_sums({data.data(), 2, 3, 1, sums.data(), nullptr, partial.data()}, nullptr);
  EXPECT_EQ(sums.values(), (std::vector<double>{6, 15}));
}

// Slices -------------------------------------------------------------------------------------------------------

struct SliceCase {
  Index rows, columns, unit;
};

class Slice : public ::testing::TestWithParam<SliceCase> {};

TEST_P(Slice, CopiesTheKeptRowsAndColumns) {
  const auto [rows, columns, unit] = GetParam();
  std::vector<unsigned char> input(size(rows * columns * unit));
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = static_cast<unsigned char>(i * 31 % 251);
  std::vector<Index> kept_rows, kept_columns;
  for (Index r = 0; r < rows; r += 2) kept_rows.push_back(r);
  for (Index c = 0; c < columns; ++c)
    if (c % 3 != 1) kept_columns.push_back(c);
  const auto row_count = static_cast<Index>(kept_rows.size()),
             column_count = static_cast<Index>(kept_columns.size());
  const Array<unsigned char> there(input);
  const Array<Index> rows_there(kept_rows), columns_there(kept_columns);
  const std::vector<unsigned char> got = on_every_schedule([&] {
    const Array<unsigned char> out(size(row_count * column_count * unit));
    slice_rows({there.data(), out.data(), rows_there.data(), columns_there.data(), row_count, column_count,
                columns, unit},
               nullptr);
    return out.values();
  });
  for (Index i = 0; i < row_count; ++i)
    for (Index j = 0; j < column_count; ++j)
      for (Index b = 0; b < unit; ++b)
        ASSERT_EQ(got[size((i * column_count + j) * unit + b)],
                  input[size((kept_rows[size(i)] * columns + kept_columns[size(j)]) * unit + b)]);
}

INSTANTIATE_TEST_SUITE_P(Ragged, Slice,
                         ::testing::Values(SliceCase{1, 1, 4}, SliceCase{7, 33, 4}, SliceCase{3, 95, 2},
                                           SliceCase{5, 7, 36}, SliceCase{4, 150, 16}, SliceCase{2, 9, 1}));

#ifdef __CUDACC__
INSTANTIATE_TEST_SUITE_P(OfLayers, Slice,
                         ::testing::Values(SliceCase{4096, 4096, 4}, SliceCase{512, 512, 36},
                                           SliceCase{3072, 768, 2}));
#endif

TEST(Slice, WithoutIndicesEverythingIsKept) {
  const Floats data = random(35, 4);
  const Array<float> there(data), out(35);
  slice_rows({reinterpret_cast<const unsigned char*>(there.data()),
              reinterpret_cast<unsigned char*>(out.data()), nullptr, nullptr, 5, 7, 7, 4},
             nullptr);
  EXPECT_EQ(out.values(), data);
}

}  // namespace
}  // namespace pollard::kernels::cuda
