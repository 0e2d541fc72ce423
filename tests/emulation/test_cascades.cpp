// SPDX-License-Identifier: Apache-2.0
// Cascaded group attention on ragged sizes, in every order of threads and blocks or on a GPU: right against double precision,
// and the same bit for bit.
#include <algorithm>
#include <cmath>
#include <list>

#include "kernels/cuda/cascaded_attention.h"
#include "tests/emulation/backend.h"
#include "tests/emulation/numbers.h"

namespace pollard::kernels::cuda {
namespace {

struct HeadSizes {
  int read, keys, given, side;
};

struct CascadeCase {
  Index windows;
  int height, width;
  std::vector<HeadSizes> heads;
};

/// A head's weights, here and there.
struct HeadNumbers {
  Floats qkv, qkv_bias, depthwise, depthwise_bias;
  Array<float> qkv_there, qkv_bias_there, depthwise_there, depthwise_bias_there;
  HeadNumbers(const HeadSizes& s, unsigned seed)
      : qkv(random((2 * s.keys + s.given) * s.read, seed, 1 / std::sqrt(static_cast<float>(s.read)))),
        qkv_bias(random(2 * s.keys + s.given, seed + 1)),
        depthwise(random(s.keys * s.side * s.side, seed + 2, 0.5f)),
        depthwise_bias(random(s.keys, seed + 3)),
        qkv_there(qkv),
        qkv_bias_there(qkv_bias),
        depthwise_there(depthwise),
        depthwise_bias_there(depthwise_bias) {}
};

using Doubles = std::vector<double>;

/// [2 keys + given, n] of [read, n].
Doubles projected(const CascadedHead& head, const Doubles& x, Index n) {
  Doubles out;
  for (Index o = 0; o < 2 * head.keys + head.given; ++o)
    for (Index i = 0; i < n; ++i) {
      double sum = static_cast<double>(head.qkv_bias[o]);
      for (Index c = 0; c < head.read; ++c)
        sum += static_cast<double>(head.qkv[o * head.read + c]) * x[size(c * n + i)];
      out.push_back(sum);
    }
  return out;
}

/// Queries [keys, n] through their convolution.
Doubles convolved(const CascadedAttention& call, const CascadedHead& head, const Doubles& q) {
  Doubles out;
  const int edge = head.side / 2, n = call.height * call.width;
  for (int k = 0; k < head.keys; ++k)
    for (int i = 0; i < n; ++i) {
      double sum = static_cast<double>(head.depthwise_bias[k]);
      for (int dy = 0; dy < head.side; ++dy)
        for (int dx = 0; dx < head.side; ++dx) {
          const int y = i / call.width + dy - edge, x = i % call.width + dx - edge;
          if (y >= 0 && y < call.height && x >= 0 && x < call.width)
            sum += static_cast<double>(head.depthwise[(k * head.side + dy) * head.side + dx]) *
                   q[size(k * n + y * call.width + x)];
        }
      out.push_back(sum);
    }
  return out;
}

/// What a head gives, [given, n].
Doubles attended(const CascadedAttention& call, const CascadedHead& head, const float* bias,
                 const Doubles& x) {
  const Index n = Index{call.height} * call.width, K = head.keys;
  const Doubles made = projected(head, x, n), q = convolved(call, head, made);
  Doubles out(size(head.given * n));
  for (Index t = 0; t < n; ++t) {
    Doubles weights;
    for (Index s = 0; s < n; ++s) {
      double score = 0;
      for (Index k = 0; k < K; ++k) score += q[size(k * n + t)] * made[size((K + k) * n + s)];
      weights.push_back(score * static_cast<double>(call.scale) + static_cast<double>(bias[t * n + s]));
    }
    const double top = *std::max_element(weights.begin(), weights.end());
    double sum = 0;
    for (double& w : weights) sum += w = std::exp(w - top);
    for (Index e = 0; e < head.given; ++e)
      for (Index s = 0; s < n; ++s)
        out[size(e * n + t)] += weights[size(s)] / sum * made[size((2 * K + e) * n + s)];
  }
  return out;
}

/// As kernels/attention/cascaded_attention.h defines it, in double.
Doubles reference(const CascadedAttention& call) {
  const Index n = Index{call.height} * call.width;
  Doubles out;
  const float* input = call.input;
  for (Index window = 0; window < call.windows; ++window) {
    Doubles before;
    for (int h = 0; h < call.heads; ++h) {
      const CascadedHead& head = call.head[h];
      before.resize(size(head.read * n));
      for (double& x : before) x += static_cast<double>(*input++);
      before = attended(call, head, call.bias + h * n * n, before);
      out.insert(out.end(), before.begin(), before.end());
    }
  }
  return out;
}

class Cascade : public ::testing::TestWithParam<CascadeCase> {};

TEST_P(Cascade, GivesWhatItsHeadsGiveOneAfterTheOther) {
  const auto& [windows, height, width, sizes] = GetParam();
  const Index n = Index{height} * width;
  CascadedAttention here{}, there{};
  here.windows = windows, here.height = height, here.width = width, here.scale = 0.3f;
  here.heads = static_cast<int>(sizes.size());
  there = here;
  std::list<HeadNumbers> numbers;
  Index read = 0, given = 0;
  for (std::size_t h = 0; h < sizes.size(); ++h) {
    const HeadSizes& s = sizes[h];
    const HeadNumbers& w = numbers.emplace_back(s, static_cast<unsigned>(10 * h + 10));
    here.head[h] = {
        w.qkv.data(), w.qkv_bias.data(), w.depthwise.data(), w.depthwise_bias.data(), s.read, s.keys, s.given,
        s.side};
    there.head[h] = {w.qkv_there.data(),
                     w.qkv_bias_there.data(),
                     w.depthwise_there.data(),
                     w.depthwise_bias_there.data(),
                     s.read,
                     s.keys,
                     s.given,
                     s.side};
    read += s.read, given += s.given;
  }
  const Floats x = random(windows * read * n, 1), bias = random(here.heads * n * n, 2);
  const Array<float> x_there(x), bias_there(bias);
  here.input = x.data(), here.bias = bias.data();
  there.input = x_there.data(), there.bias = bias_there.data();
  ASSERT_TRUE(takes_cascade(there));
  const Floats got = on_every_schedule([&] {
    const Array<float> out(size(windows * given * n));
    there.output = out.data();
    cascaded_attention(there, nullptr);
    return out.values();
  });
  const Doubles want = reference(here);
  ASSERT_EQ(got.size(), want.size());
  expect_near_largest(got, want, 1e-5);
}

/// One position; windows of 33 and 35; 95 positions, whose queries come in two tiles; 16, where every thread has a row of its own.
INSTANTIATE_TEST_SUITE_P(Ragged, Cascade,
                         ::testing::Values(CascadeCase{1, 1, 1, {{1, 1, 1, 1}}},
                                           CascadeCase{2, 2, 3, {{7, 3, 5, 3}, {5, 4, 9, 5}, {9, 1, 2, 1}}},
                                           CascadeCase{2, 3, 11, {{33, 7, 7, 5}, {7, 5, 33, 3}}},
                                           CascadeCase{1, 5, 19, {{5, 3, 8, 7}, {8, 2, 1, 3}}},
                                           CascadeCase{1, 4, 4, {{6, 33, 95, 7}, {95, 2, 3, 3}}}));

TEST(Cascade, RefusesWindowsThatDoNotFit) {
  CascadedAttention call{};
  call.windows = 1, call.heads = 1;
  call.head[0] = {nullptr, nullptr, nullptr, nullptr, 64, 16, 64, 5};
  const auto takes = [&](int height, int width) {
    call.height = height, call.width = width;
    return takes_cascade(call);
  };
  EXPECT_TRUE(takes(7, 7));
  EXPECT_TRUE(takes(13, 13));
  EXPECT_FALSE(takes(0, 7));
  EXPECT_FALSE(takes(14, 14));
  EXPECT_FALSE(takes(1 << 16, 1 << 16));
  call.head[0] = {nullptr, nullptr, nullptr, nullptr, 1, 1, 1, 1};
  EXPECT_FALSE(takes(1, 513));
}

#ifdef __CUDACC__
const auto efficient_vit = [](Index windows, int side, int heads, int width, int keys) {
  CascadeCase out{windows, side, side, {}};
  for (int h = 0; h < heads; ++h) out.heads.push_back({width, keys, width, h == 0 ? 7 : 5});
  return out;
};
INSTANTIATE_TEST_SUITE_P(OfEfficientVit, Cascade,
                         ::testing::Values(efficient_vit(256, 7, 4, 16, 16), efficient_vit(64, 7, 3, 64, 16),
                                           efficient_vit(64, 7, 3, 96, 16), efficient_vit(64, 4, 4, 96, 16)));
#endif

}  // namespace
}  // namespace pollard::kernels::cuda
