// SPDX-License-Identifier: Apache-2.0
// The recurrence in bf16 on ragged sizes, in every order of threads and blocks or on a GPU: every step right against double
// precision, and the same bit for bit.
//
// A step of the reference begins with what the kernel showed in the step before, so that roundings of states to bf16 are no
// difference; cells remember on their own. What may differ is derived along with every value: a hyperbolic tangent is off by
// 2^-11 of its value at most, a sigmoid, half of one, by 2^-12, sums of n products in single precision by n 2^-23 of the sum of
// their magnitudes, and what is shown is rounded to eight bits.
#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/cuda/recurrence_bf16.h"
#include "tests/emulation/backend.h"
#include "tests/emulation/numbers.h"

namespace pollard::kernels::cuda {
namespace {

using Halves = std::vector<std::uint16_t>;

std::uint16_t to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
double from_bf16(std::uint16_t x) {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16));
}

/// What rounding a number of at most this size to bf16 changes at most.
double half_a_place(double size) { return size > 0 ? std::ldexp(1, std::ilogb(size) - 8) : 0; }

Halves random_bf16(Index count, unsigned seed, float scale) {
  Halves out;
  for (float x : random(count, seed, scale)) out.push_back(to_bf16(x));
  return out;
}

std::vector<unsigned> words(const Halves& halves) {
  std::vector<unsigned> out(halves.size() / 2);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = halves[2 * i] | static_cast<unsigned>(halves[2 * i + 1]) << 16;
  return out;
}

/// A value and how far off the kernel's may be.
struct Bounded {
  double value = 0, off = 0;
};
constexpr double kTanhOff = 1.0 / 2048, kSingle = 1.0 / (1 << 23);

Bounded operator+(Bounded a, Bounded b) {
  const double sum = a.value + b.value;
  return {sum, a.off + b.off + kSingle * std::fabs(sum)};
}
Bounded operator*(Bounded a, Bounded b) {
  const double product = a.value * b.value;
  return {product,
          a.off * (std::fabs(b.value) + b.off) + b.off * std::fabs(a.value) + kSingle * std::fabs(product)};
}
Bounded bounded_tanh(Bounded x) { return {std::tanh(x.value), x.off + kTanhOff}; }
Bounded bounded_sigmoid(Bounded x) {
  return {1 / (1 + std::exp(-x.value)), x.off / 4 + kTanhOff / 2 + kSingle};
}

/// What a cell shows from what its gates get from the inputs and from all units; `memory` is what it keeps.
Bounded show_lstm(const Bounded* given, const Bounded* shown, Bounded& memory) {
  const auto gate = [&](int g) { return given[g] + shown[g]; };
  memory = bounded_sigmoid(gate(1)) * memory + bounded_sigmoid(gate(0)) * bounded_tanh(gate(2));
  return bounded_sigmoid(gate(3)) * bounded_tanh(memory);
}
Bounded show_gru(const Bounded* given, const Bounded* shown, Bounded& memory) {
  const Bounded r = bounded_sigmoid(given[0] + shown[0]), z = bounded_sigmoid(given[1] + shown[1]),
                n = bounded_tanh(given[2] + r * shown[2]);
  return memory = n + z * (memory + Bounded{-n.value, n.off});
}

struct Kind {
  Index gates;
  Bounded (*show)(const Bounded* given, const Bounded* shown, Bounded& memory);
  void (*run)(const RecurrenceBf16&, void* stream);
};
const Kind kLstm{4, show_lstm, lstm_recurrence_bf16}, kGru{3, show_gru, gru_recurrence_bf16};

struct Case {
  Index outer, inner, steps, hidden, directions, offset;

  Index sequences() const { return outer * inner; }
  Index tokens() const { return sequences() * steps; }
  Index width() const { return offset + directions * hidden; }
  Index token(Index sequence, Index step) const {
    return sequence / inner * steps * inner + sequence % inner + step * inner;
  }
};

/// As a layer has them: gates [directions, tokens, gates, H], weights [directions, gates, H, H], b_hn [directions, H].
struct Numbers {
  Halves gates, recurrent, bias_hn;

  Numbers(const Kind& kind, const Case& c)
      : gates(random_bf16(c.directions * c.tokens() * kind.gates * c.hidden, 1, 1)),
        recurrent(random_bf16(c.directions * kind.gates * c.hidden * c.hidden, 2,
                              1.5f / std::sqrt(static_cast<float>(c.hidden)))),
        bias_hn(random_bf16(c.directions * c.hidden, 3, 1)) {}
};

/// In the kernel's order, zeros for padded units: [directions, tokens, P / 8, gates, 8].
Halves packed_gates(const Kind& kind, const Case& c, const Halves& gates) {
  const Index P = bf16_units(c.hidden), all = c.directions * c.tokens();
  Halves out(size(all * kind.gates * P));
  for (Index t = 0; t < all; ++t)
    for (Index g = 0; g < kind.gates; ++g)
      for (Index j = 0; j < c.hidden; ++j)
        out[size(t * kind.gates * P + (j / 8 * kind.gates + g) * 8 + j % 8)] =
            gates[size((t * kind.gates + g) * c.hidden + j)];
  return out;
}

/// Of every direction [P / 8, P / 16, gates, 8, 4, 2, 2], then its b_hn.
Halves packed_weights(const Kind& kind, const Case& c, const Numbers& numbers) {
  const Index P = bf16_units(c.hidden), H = c.hidden, stride = kind.gates * P * P + P;
  Halves out(size(c.directions * stride));
  for (Index d = 0; d < c.directions; ++d) {
    for (Index g = 0; g < kind.gates; ++g)
      for (Index j = 0; j < H; ++j)
        for (Index k = 0; k < H; ++k) {
          const Index tile = (j / 8 * (P / 16) + k / 16) * kind.gates + g, lane = j % 8 * 4 + k % 8 / 2,
                      place = lane * 4 + k % 16 / 8 * 2 + k % 2;
          out[size(d * stride + tile * 128 + place)] =
              numbers.recurrent[size(((d * kind.gates + g) * H + j) * H + k)];
        }
    std::copy_n(numbers.bias_hn.begin() + d * H, H, out.begin() + d * stride + kind.gates * P * P);
  }
  return out;
}

Halves run(const Kind& kind, const Case& c, const Numbers& numbers, std::uint16_t unwritten) {
  const Array<unsigned> gates(words(packed_gates(kind, c, numbers.gates))),
      weights(words(packed_weights(kind, c, numbers)));
  const Index P = bf16_units(c.hidden), recurrent = kind.gates * P * P;
  return on_every_schedule([&] {
    const Array<std::uint16_t> out(Halves(size(c.tokens() * c.width()), unwritten));
    kind.run({gates.data(), weights.data(), weights.data() + recurrent / 2, (recurrent + P) / 2, out.data(),
              c.sequences(), c.steps, c.inner, c.hidden, c.directions, c.width(), c.offset},
             nullptr);
    return out.values();
  });
}

/// One sequence in one direction; how far off a value may have been at most.
double expect_sequence(const Kind& kind, const Case& c, const Numbers& numbers, const Halves& got, Index r,
                       Index direction) {
  const Index H = c.hidden;
  double most = 0;
  std::vector<double> before(size(H));
  std::vector<Bounded> memory(size(H));
  for (Index s = 0; s < c.steps; ++s) {
    const Index token = c.token(r, direction ? c.steps - 1 - s : s);
    const std::uint16_t* const here = &got[size(token * c.width() + c.offset + direction * H)];
    for (Index j = 0; j < H; ++j) {
      Bounded given[4], shown[4];
      for (Index g = 0; g < kind.gates; ++g) {
        given[g].value =
            from_bf16(numbers.gates[size(((direction * c.tokens() + token) * kind.gates + g) * H + j)]);
        const bool biased = kind.gates == 3 && g == 2;
        double sum = biased ? from_bf16(numbers.bias_hn[size(direction * H + j)]) : 0,
               magnitude = std::fabs(sum) + std::fabs(given[g].value);
        for (Index k = 0; k < H; ++k) {
          const double term =
              from_bf16(numbers.recurrent[size(((direction * kind.gates + g) * H + j) * H + k)]) *
              before[size(k)];
          sum += term, magnitude += std::fabs(term);
        }
        shown[g] = {sum, static_cast<double>(H + 1) * kSingle * magnitude};
      }
      const Bounded want = kind.show(given, shown, memory[size(j)]);
      const double off = want.off + half_a_place(std::fabs(want.value) + want.off);
      most = std::max(most, off);
      EXPECT_NEAR(from_bf16(here[j]), want.value, off) << "sequence " << r << " step " << s << " unit " << j;
    }
    for (Index j = 0; j < H; ++j) before[size(j)] = from_bf16(here[j]);
  }
  return most;
}

void expect_recurrence(const Kind& kind, const Case& c) {
  constexpr std::uint16_t kUnwritten = 0x1234;
  const Numbers numbers(kind, c);
  const Halves got = run(kind, c, numbers, kUnwritten);
  double most = 0;
  for (Index r = 0; r < c.sequences(); ++r)
    for (Index d = 0; d < c.directions; ++d)
      most = std::max(most, expect_sequence(kind, c, numbers, got, r, d));
  EXPECT_LT(most, kOnGpu ? 0.05 : 0.02) << "what is allowed says little";
  for (Index t = 0; t < c.tokens(); ++t)
    for (Index i = 0; i < c.offset; ++i) ASSERT_EQ(got[size(t * c.width() + i)], kUnwritten);
}

class LstmBf16 : public ::testing::TestWithParam<Case> {};
TEST_P(LstmBf16, ComputesTheRecurrence) { expect_recurrence(kLstm, GetParam()); }

class GruBf16 : public ::testing::TestWithParam<Case> {};
TEST_P(GruBf16, ComputesTheRecurrence) { expect_recurrence(kGru, GetParam()); }

const auto kRagged =
    ::testing::Values(Case{1, 1, 1, 1, 1, 0}, Case{1, 5, 9, 7, 2, 3}, Case{2, 3, 5, 33, 2, 3},
                      Case{17, 1, 6, 16, 2, 2}, Case{3, 1, 4, 48, 1, 0}, Case{1, 3, 2, 48, 2, 3},
                      Case{5, 1, 3, 70, 2, 2}, Case{1, 2, 2, 95, 1, 1}, Case{1, 3, 3, 96, 2, 4});
INSTANTIATE_TEST_SUITE_P(Ragged, LstmBf16, kRagged);
INSTANTIATE_TEST_SUITE_P(Ragged, GruBf16, kRagged);

#ifdef __CUDACC__  // for hours on the emulator
const auto kWhole = ::testing::Values(Case{8, 32, 32, 48, 2, 0}, Case{128, 16, 16, 96, 2, 0},
                                      Case{40, 9, 33, 70, 2, 2}, Case{256, 1, 32, 37, 2, 1});
INSTANTIATE_TEST_SUITE_P(OfSequencer2D, LstmBf16, kWhole);
INSTANTIATE_TEST_SUITE_P(OfSequencer2D, GruBf16, kWhole);
#endif

}  // namespace
}  // namespace pollard::kernels::cuda
