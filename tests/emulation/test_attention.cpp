// SPDX-License-Identifier: Apache-2.0
// The kernels of attention on ragged sizes, in every order of threads and blocks or on a GPU: right against double precision,
// and the same bit for bit.
#include <algorithm>
#include <cmath>

#include "kernels/cuda/focused_attention.h"
#include "kernels/cuda/masked_attention.h"
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
  expect_near_largest(got, want, 5e-6);
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

// Masked attention ---------------------------------------------------------------------------------------------

struct MaskedCase {
  Index batch, heads, queries, keys, width, value_width;
  bool mask, causal;
};

/// One query's result in one head, in double; zeros where nothing can be read.
std::vector<double> reference_query(const MaskedAttention& m, Index b, Index h, Index t) {
  std::vector<double> weights, out(size(m.value_width));
  double largest = -INFINITY, sum = 0;
  for (Index s = 0; s < m.keys; ++s) {
    double score = 0;
    for (Index c = 0; c < m.width; ++c)
      score +=
          static_cast<double>(m.q.data[b * m.q.batch_stride + h * m.q.head_stride + t * m.q.row_stride + c]) *
          static_cast<double>(m.k.data[b * m.k.batch_stride + h * m.k.head_stride + s * m.k.row_stride + c]);
    score *= static_cast<double>(m.scale);
    if (m.mask.data) score += static_cast<double>(m.mask.data[t * m.mask.row_stride + s]);
    if (m.causal && s > t) score = -INFINITY;
    weights.push_back(score);
    largest = std::max(largest, score);
  }
  if (largest == -INFINITY) return out;
  for (double& w : weights) sum += w = std::exp(w - largest);
  for (Index s = 0; s < m.keys; ++s)
    for (Index e = 0; e < m.value_width; ++e)
      out[size(e)] +=
          static_cast<double>(m.gates[b * m.heads + h]) * weights[size(s)] / sum *
          static_cast<double>(m.v.data[b * m.v.batch_stride + h * m.v.head_stride + s * m.v.row_stride + e]);
  return out;
}

class Masked : public ::testing::TestWithParam<MaskedCase> {};

/// Every other head is closed and its keys are NaN: nobody may read them. With a mask the first query reads nothing.
TEST_P(Masked, ComputesOpenHeadsAndZeros) {
  const auto [batch, heads, queries, keys, width, value_width, mask, causal] = GetParam();
  Floats q = random(batch * heads * queries * width, 1), k = random(batch * heads * keys * width, 2),
         v = random(batch * heads * keys * value_width, 3), gates, added = random(queries * keys, 4);
  for (Index n = 0; n < batch * heads; ++n) {
    gates.push_back(n % 2 == 0 ? 1.5f : 0.0f);
    for (Index i = n * keys * width; n % 2 == 1 && i < (n + 1) * keys * width; ++i) k[size(i)] = NAN;
  }
  for (Index s = 0; s < keys; ++s) added[size(s)] = -INFINITY;
  const Array<float> q_there(q), k_there(k), v_there(v), gates_there(gates), mask_there(added);
  const auto rows = [&](const float* data, Index count, Index columns) {
    return HeadRows{data, heads * count * columns, count * columns, columns};
  };
  MaskedAttention there{rows(q_there.data(), queries, width),
                        rows(k_there.data(), keys, width),
                        rows(v_there.data(), keys, value_width),
                        {mask ? mask_there.data() : nullptr, 0, 0, keys},
                        gates_there.data(),
                        nullptr,
                        batch,
                        heads,
                        queries,
                        keys,
                        width,
                        value_width,
                        0.3f,
                        causal};
  const Floats got = on_every_schedule([&] {
    const Array<float> out(size(batch * queries * heads * value_width));
    there.output = out.data();
    masked_attention(there, nullptr);
    return out.values();
  });
  MaskedAttention here = there;
  here.q.data = q.data(), here.k.data = k.data(), here.v.data = v.data(), here.gates = gates.data();
  here.mask.data = mask ? added.data() : nullptr;
  for (Index n = 0; n < batch * queries * heads; ++n) {
    const Index b = n / (queries * heads), t = n / heads % queries, h = n % heads;
    const std::vector<double> want = gates[size(b * heads + h)] == 0.0f
                                         ? std::vector<double>(size(value_width))
                                         : reference_query(here, b, h, t);
    for (Index e = 0; e < value_width; ++e)
      ASSERT_NEAR(got[size(n * value_width + e)], want[size(e)], 1e-5) << n << ' ' << e;
  }
}

INSTANTIATE_TEST_SUITE_P(Ragged, Masked,
                         ::testing::Values(MaskedCase{1, 1, 1, 1, 1, 1, false, false},
                                           MaskedCase{1, 3, 7, 5, 7, 3, true, false},
                                           MaskedCase{1, 1, 33, 70, 33, 66, true, false},
                                           MaskedCase{1, 1, 66, 131, 4, 7, false, true},
                                           MaskedCase{2, 1, 3, 2, 95, 130, false, false}));

#ifdef __CUDACC__
INSTANTIATE_TEST_SUITE_P(OfVit, Masked,
                         ::testing::Values(MaskedCase{8, 12, 197, 197, 64, 64, false, false},
                                           MaskedCase{2, 12, 512, 512, 32, 32, true, false},
                                           MaskedCase{2, 3, 1000, 1000, 128, 256, false, true}));
#endif

}  // namespace
}  // namespace pollard::kernels::cuda
