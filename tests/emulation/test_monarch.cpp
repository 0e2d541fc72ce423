// SPDX-License-Identifier: Apache-2.0
// Products with Monarch matrices on ragged sizes, in every order of threads and blocks or on a GPU: right against double
// precision, and the same bit for bit.
#include <algorithm>
#include <cmath>

#include "kernels/cuda/monarch.h"
#include "tests/emulation/backend.h"
#include "tests/emulation/numbers.h"

namespace pollard::kernels::cuda {
namespace {

struct MonarchCase {
  Index rows, k, q, p, l, s;
};

/// As kernels/monarch.h defines it, in double.
std::vector<double> reference(const Monarch& m) {
  std::vector<double> out;
  for (Index row = 0; row < m.rows; ++row) {
    std::vector<double> a(size(m.k * m.q));
    for (Index i = 0; i < m.k * m.q; ++i)
      for (Index p = 0; p < m.p; ++p)
        a[size(i)] += static_cast<double>(m.first[i * m.p + p]) *
                      static_cast<double>(m.input[(row * m.k + i / m.q) * m.p + p]);
    for (Index n = 0; n < m.s * m.l; ++n) {
      double sum = 0;
      for (Index r = 0; r < m.r; ++r)
        sum +=
            static_cast<double>(m.second[(n % m.l * m.s + n / m.l) * m.r + r]) * a[size(r * m.l + n % m.l)];
      out.push_back(sum);
    }
  }
  return out;
}

class MonarchOf : public ::testing::TestWithParam<MonarchCase> {};

TEST_P(MonarchOf, IsTwoProductsOfBlocks) {
  const auto [rows, k, q, p, l, s] = GetParam();
  const Index r = k * q / l;
  ASSERT_EQ(l * r, k * q);
  const Floats x = random(rows * k * p, 1), first = random(k * q * p, 2), second = random(l * s * r, 3);
  const Array<float> x_there(x), first_there(first), second_there(second);
  const Floats got = on_every_schedule([&] {
    const Array<float> out(size(rows * s * l)), middle(size(rows * k * q));
    monarch({x_there.data(), first_there.data(), second_there.data(), middle.data(), out.data(), rows, k, q,
             p, l, s, r},
            nullptr);
    return out.values();
  });
  const std::vector<double> want =
      reference({x.data(), first.data(), second.data(), nullptr, nullptr, rows, k, q, p, l, s, r});
  expect_near_largest(got, want, 2e-6);
}

INSTANTIATE_TEST_SUITE_P(Ragged, MonarchOf,
                         ::testing::Values(MonarchCase{1, 1, 1, 1, 1, 1}, MonarchCase{7, 3, 4, 5, 2, 7},
                                           MonarchCase{33, 1, 95, 33, 5, 2}, MonarchCase{66, 2, 66, 7, 4, 33},
                                           MonarchCase{2, 7, 33, 1, 3, 95}));

TEST(MonarchOf, NoRowsWritesNothing) {
  const Array<float> numbers(Floats{1}), out(1);
  monarch({numbers.data(), numbers.data(), numbers.data(), out.data(), out.data(), 0, 1, 1, 1, 1, 1, 1},
          nullptr);
  EXPECT_TRUE(std::isnan(out.values()[0]));
}

#ifdef __CUDACC__
INSTANTIATE_TEST_SUITE_P(OfLayers, MonarchOf,
                         ::testing::Values(MonarchCase{788, 4, 96, 96, 4, 96},
                                           MonarchCase{197, 4, 152, 96, 4, 384},
                                           MonarchCase{1000, 8, 100, 96, 8, 97}));
#endif

}  // namespace
}  // namespace pollard::kernels::cuda
