// SPDX-License-Identifier: Apache-2.0
// The kernels of attention on ragged sizes, in every order of threads and blocks or on a GPU: right against double precision,
// and the same bit for bit.
#include <algorithm>
#include <cmath>

#include "kernels/cuda/focused_attention.h"
#include "tests/emulation/backend.h"
#include "tests/emulation/numbers.h"

namespace pollard::kernels::cuda {
namespace {

// Focused linear attention -------------------------------------------------------------------------------------

struct FocusedCase {
  Index batch, queries, keys, heads, width, value_width;
};

/// a = (relu(x) + 1e-6) gain, |a| a^factor / |a^factor|, of one row.
std::vector<double> focused_row(const float* row, const Floats& gain, Index factor) {
  std::vector<double> out;
  double squares = 0, powers = 0;
  for (std::size_t c = 0; c < gain.size(); ++c) {
    const double a = (std::max(0.0, static_cast<double>(row[c])) + 1e-6) * static_cast<double>(gain[c]);
    out.push_back(std::pow(a, factor));
    squares += a * a;
    powers += out.back() * out.back();
  }
  for (double& x : out) x *= std::sqrt(squares / powers);
  return out;
}

/// As kernels/attention/focused_attention.h defines it, in double.
std::vector<double> reference_focused(const FocusedAttention& f, const Floats& gain) {
  const Index C = f.heads * f.width, E = f.heads * f.value_width;
  std::vector<double> out(size(f.batch * f.q.count * E));
  for (Index b = 0; b < f.batch; ++b) {
    std::vector<double> mixed(size(C * f.value_width)), mean(size(C));
    for (Index j = 0; j < f.k.count; ++j) {
      const auto key = focused_row(f.k.data + b * f.k.batch_stride + j * f.k.row_stride, gain, f.factor);
      const float* value = f.v.data + b * f.v.batch_stride + j * f.v.row_stride;
      for (Index c = 0; c < C; ++c) {
        const double share = key[size(c)] / static_cast<double>(f.k.count);
        mean[size(c)] += share;
        for (Index e = 0; e < f.value_width; ++e)
          mixed[size(c * f.value_width + e)] +=
              share * static_cast<double>(value[c / f.width * f.value_width + e]);
      }
    }
    for (Index i = 0; i < f.q.count; ++i) {
      const auto query = focused_row(f.q.data + b * f.q.batch_stride + i * f.q.row_stride, gain, f.factor);
      for (Index n = 0; n < E; ++n) {
        double top = 0, bottom = 1e-6;
        for (Index c = n / f.value_width * f.width; c < (n / f.value_width + 1) * f.width; ++c) {
          top += query[size(c)] * mixed[size(c * f.value_width + n % f.value_width)];
          bottom += query[size(c)] * mean[size(c)];
        }
        out[size((b * f.q.count + i) * E + n)] = top / bottom;
      }
    }
  }
  return out;
}

class Focused : public ::testing::TestWithParam<FocusedCase> {};

TEST_P(Focused, ComputesLinearAttention) {
  const auto [batch, queries, keys, heads, width, value_width] = GetParam();
  const Index C = heads * width, E = heads * value_width,
              apart = 5;  // rows of q lie apart, as slices of qkv do
  const Floats q = random(batch * queries * (C + apart), 1), k = random(batch * keys * C, 2),
               v = random(batch * keys * E, 3);
  Floats gain = random(C, 4);
  for (float& x : gain) x = std::fabs(x) + 0.3f;
  const Array<float> q_there(q), k_there(k), v_there(v), gain_there(gain);
  const auto call = [&](const float* q_data, const float* k_data, const float* v_data) {
    return FocusedAttention{{q_data, queries, queries * (C + apart), C + apart},
                            {k_data, keys, keys * C, C},
                            {v_data, keys, keys * E, E},
                            gain_there.data(),
                            nullptr,
                            nullptr,
                            batch,
                            heads,
                            width,
                            value_width,
                            3};
  };
  FocusedAttention there = call(q_there.data(), k_there.data(), v_there.data());
  const Floats got = on_every_schedule([&] {
    const Array<float> out(size(batch * queries * E)), work(size(focused_work(there)));
    there.output = out.data(), there.work = work.data();
    focused_attention(there, nullptr);
    return out.values();
  });
  const std::vector<double> want = reference_focused(call(q.data(), k.data(), v.data()), gain);
  double most = 0;
  for (double x : want) most = std::max(most, std::fabs(x));
  for (std::size_t n = 0; n < got.size(); ++n) ASSERT_NEAR(got[n], want[n], 5e-6 * most) << n;
}

INSTANTIATE_TEST_SUITE_P(Ragged, Focused,
                         ::testing::Values(FocusedCase{1, 1, 1, 1, 1, 1}, FocusedCase{2, 3, 7, 2, 7, 5},
                                           FocusedCase{1, 33, 2, 1, 33, 66}, FocusedCase{1, 2, 3, 1, 95, 4},
                                           FocusedCase{1, 1, 65, 1, 5, 6}));  // keys in parts

#ifdef __CUDACC__
INSTANTIATE_TEST_SUITE_P(OfFLatten, Focused,
                         ::testing::Values(FocusedCase{64, 49, 49, 3, 32, 32},
                                           FocusedCase{8, 197, 197, 3, 64, 64},
                                           FocusedCase{2, 3136, 49, 1, 64, 64},
                                           FocusedCase{1, 3136, 3136, 2, 32, 32},
                                           FocusedCase{3, 197, 197, 3, 45, 64}));
#endif

}  // namespace
}  // namespace pollard::kernels::cuda
