// SPDX-License-Identifier: Apache-2.0
// The kernels of recurrent layers on ragged sizes, in every order of threads and blocks or on a GPU: right against double
// precision, and the same bit for bit.
#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/cuda/mlstm.h"
#include "kernels/cuda/recurrence.h"
#include "tests/emulation/backend.h"
#include "tests/emulation/numbers.h"

namespace pollard::kernels::cuda {
namespace {

// LSTM and GRU -------------------------------------------------------------------------------------------------

struct RecurrenceCase {
  Index outer, inner, steps, hidden, directions;
  RecurrenceTiling tiling{2, 1};
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// A cell's next state from what its gates get from the inputs and from all units: c is what an LSTM remembers.
double next_lstm(const double* given, const double* shown, double /*h*/, double& c) {
  const auto gate = [&](int g) { return given[g] + shown[g]; };
  c = sigmoid(gate(1)) * c + sigmoid(gate(0)) * std::tanh(gate(2));
  return sigmoid(gate(3)) * std::tanh(c);
}
double next_gru(const double* given, const double* shown, double h, double& /*c*/) {
  const double r = sigmoid(given[0] + shown[0]), z = sigmoid(given[1] + shown[1]);
  return (1 - z) * std::tanh(given[2] + r * shown[2]) + z * h;
}

struct Kind {
  Index gates;
  double (*next)(const double* given, const double* shown, double h, double& c);
  void (*run)(const Recurrence&, void* stream, RecurrenceTiling tiling);
};
const Kind kLstm{4, next_lstm, lstm_recurrence}, kGru{3, next_gru, gru_recurrence};

/// Weights as a layer has them, [directions, gates H, H], and b_hn [directions, H].
struct Weights {
  Floats recurrent, bias_hn;
};

/// One sequence in one direction, in double.
void reference_sequence(const Kind& kind, const Recurrence& l, const Weights& weights, Index sequence,
                        Index direction, std::vector<double>& out) {
  const Index H = l.hidden;
  std::vector<double> h(size(H)), c(size(H)), next(size(H));
  for (Index s = 0; s < l.steps; ++s) {
    const Index t = direction ? l.steps - 1 - s : s;
    const Index token = sequence / l.inner * l.steps * l.inner + sequence % l.inner + t * l.inner;
    const float* given_here = l.gates + (direction * l.sequences * l.steps + token) * kind.gates * H;
    for (Index j = 0; j < H; ++j) {
      double given[4] = {}, shown[4] = {};
      shown[2] = kind.gates == 3 ? static_cast<double>(weights.bias_hn[size(direction * H + j)]) : 0;
      for (Index g = 0; g < kind.gates; ++g) {
        given[g] = static_cast<double>(given_here[g * H + j]);
        const float* row = &weights.recurrent[size(((direction * kind.gates + g) * H + j) * H)];
        for (Index k = 0; k < H; ++k) shown[g] += static_cast<double>(row[k]) * h[size(k)];
      }
      next[size(j)] = kind.next(given, shown, h[size(j)], c[size(j)]);
      out[size(token * l.output_width + l.output_offset + direction * H + j)] = next[size(j)];
    }
    h = next;
  }
}

/// As the kernel takes them: [rows / 4, gates, H, 4] of every direction, then its b_hn, `stride` numbers in all.
Floats packed(const Kind& kind, const Weights& weights, Index hidden, Index directions, Index stride) {
  Floats out(size(directions * stride));
  for (Index d = 0; d < directions; ++d) {
    for (Index g = 0; g < kind.gates; ++g)
      for (Index j = 0; j < hidden; ++j)
        for (Index k = 0; k < hidden; ++k)
          out[size(d * stride + ((k / 4 * kind.gates + g) * hidden + j) * 4 + k % 4)] =
              weights.recurrent[size(((d * kind.gates + g) * hidden + j) * hidden + k)];
    for (Index j = 0; j < hidden; ++j)
      out[size(d * stride + recurrence_rows(hidden) * kind.gates * hidden + j)] =
          weights.bias_hn[size(d * hidden + j)];
  }
  return out;
}

void expect_recurrence(const Kind& kind, const RecurrenceCase& tested) {
  const auto [outer, inner, steps, hidden, directions, tiling] = tested;
  const Index tokens = outer * inner * steps, width = directions * kind.gates * hidden, offset = 3,
              output_width = offset + directions * hidden,
              bias = recurrence_rows(hidden) * kind.gates * hidden, stride = (bias + hidden + 3) / 4 * 4;
  const Floats gates = random(tokens * width, 1);
  const Weights weights{random(width * hidden, 2, 0.3f), random(directions * hidden, 3)};
  const Array<float> gates_there(gates), weights_there(packed(kind, weights, hidden, directions, stride));
  Recurrence layer{gates_there.data(),
                   weights_there.data(),
                   weights_there.data() + bias,
                   stride,
                   nullptr,
                   outer * inner,
                   steps,
                   inner,
                   hidden,
                   directions,
                   output_width,
                   offset};
  const Floats got = on_every_schedule([&] {
    const Array<float> out(Floats(size(tokens * output_width), 0.0f));
    layer.output = out.data();
    kind.run(layer, nullptr, tiling);
    return out.values();
  });
  layer.gates = gates.data();
  std::vector<double> want(got.size(), 0.0);
  for (Index r = 0; r < outer * inner; ++r)
    for (Index d = 0; d < directions; ++d) reference_sequence(kind, layer, weights, r, d, want);
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-6) << i;
}

class Lstm : public ::testing::TestWithParam<RecurrenceCase> {};
TEST_P(Lstm, ComputesTheRecurrence) { expect_recurrence(kLstm, GetParam()); }

class Gru : public ::testing::TestWithParam<RecurrenceCase> {};
TEST_P(Gru, ComputesTheRecurrence) { expect_recurrence(kGru, GetParam()); }

const auto kRagged = ::testing::Values(
    RecurrenceCase{1, 1, 1, 1, 1}, RecurrenceCase{1, 5, 3, 7, 2}, RecurrenceCase{2, 3, 4, 33, 2},
    RecurrenceCase{3, 1, 3, 48, 1}, RecurrenceCase{5, 1, 2, 95, 1}, RecurrenceCase{1, 3, 2, 96, 2},
    RecurrenceCase{1, 2, 2, 140, 1},  // weights from L2
    RecurrenceCase{13, 2, 2, 5, 2, {8, 1}}, RecurrenceCase{3, 3, 2, 33, 1, {8, 2}},
    RecurrenceCase{1, 37, 3, 7, 1, {8, 4}}, RecurrenceCase{1, 9, 2, 140, 1, {8, 1}});
INSTANTIATE_TEST_SUITE_P(Ragged, Lstm, kRagged);
INSTANTIATE_TEST_SUITE_P(Ragged, Gru, kRagged);

TEST(RecurrenceTiling, FollowsHowManySequencesThereAre) {
  const auto of = [](Index sequences, Index hidden) {
    Recurrence layer{};
    layer.sequences = sequences, layer.hidden = hidden, layer.directions = 2;
    const RecurrenceTiling tiling = recurrence_tiling(layer);
    return std::pair(tiling.sequences, tiling.groups);
  };
  EXPECT_EQ(of(32, 48), std::pair(2, 1U));
  EXPECT_EQ(of(512, 48), std::pair(8, 1U));
  EXPECT_EQ(of(2048, 48), std::pair(8, 2U));
  EXPECT_EQ(of(8192, 48), std::pair(8, 4U));
  EXPECT_EQ(of(8192, 96), std::pair(8, 2U));
  EXPECT_EQ(of(8192, 2000), std::pair(2, 1U));
}

#ifdef __CUDACC__  // for hours on the emulator
const auto kWhole =
    ::testing::Values(RecurrenceCase{8, 32, 32, 48, 2}, RecurrenceCase{32, 32, 32, 48, 2, {8, 1}},
                      RecurrenceCase{128, 16, 16, 96, 2, {8, 2}}, RecurrenceCase{256, 1, 32, 37, 2, {8, 4}},
                      RecurrenceCase{5, 9, 100, 256, 2}, RecurrenceCase{64, 9, 10, 256, 2, {8, 1}});
INSTANTIATE_TEST_SUITE_P(OfSequencer2D, Lstm, kWhole);
INSTANTIATE_TEST_SUITE_P(OfSequencer2D, Gru, kWhole);
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
  expect_near_largest(got, want, 1e-4);
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

}  // namespace
}  // namespace pollard::kernels::cuda
