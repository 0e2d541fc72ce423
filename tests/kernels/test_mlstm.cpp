// SPDX-License-Identifier: Apache-2.0
#include "kernels/recurrent/mlstm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "kernels/recurrent/layer.h"

namespace pollard::kernels {
namespace {

struct Shape {
  std::int64_t batch, heads, steps, d, e;
};

/// Scores are positive: single precision says little where a sum near zero divides.
struct Inputs {
  at::Tensor q, k, v, i, f;
  explicit Inputs(const Shape& s)
      : q(at::rand({s.batch, s.steps, s.heads, s.d}).transpose(1, 2)),  // as heads come from a projection
        k(at::rand({s.batch, s.heads, s.steps, s.d}) / std::sqrt(static_cast<double>(s.d))),
        v(at::randn({s.batch, s.heads, s.steps, s.e})),
        i(at::randn({s.batch, s.heads, s.steps}) * 2),
        f(at::randn({s.batch, s.heads, s.steps}) + 3) {}
};

class MlstmKernel : public ::testing::TestWithParam<Shape> {};

TEST_P(MlstmKernel, ComputesTheParallelFormInDouble) {
  const Inputs x(GetParam());
  const auto f64 = [](const at::Tensor& t) { return t.to(at::kDouble); };
  const at::Tensor want = mlstm_by_aten(f64(x.q), f64(x.k), f64(x.v), f64(x.i), f64(x.f), 1e-6);
  for (const char* set : layer_instruction_sets()) {
    const at::Tensor got = mlstm_with(set, x.q, x.k, x.v, x.i, x.f, 1e-6);
    EXPECT_LE(got.sub(want).abs().max().item<double>(), 1e-5 * want.abs().max().item<double>()) << set;
  }
}

INSTANTIATE_TEST_SUITE_P(Ragged, MlstmKernel,
                         ::testing::Values(Shape{1, 1, 1, 1, 1}, Shape{2, 3, 7, 5, 9},
                                           Shape{1, 2, 33, 16, 16}, Shape{1, 1, 64, 95, 33},
                                           Shape{1, 2, 95, 33, 70}, Shape{1, 1, 196, 24, 24}));

/// So many steps that a state takes the place of earlier panels, at any width of a panel.
INSTANTIATE_TEST_SUITE_P(Long, MlstmKernel,
                         ::testing::Values(Shape{1, 2, 256, 7, 9}, Shape{1, 1, 257, 16, 33},
                                           Shape{2, 1, 333, 33, 16}, Shape{1, 1, 729, 95, 70}));

TEST(MlstmKernel, DoesNotSeeLaterPositions) {
  Inputs x({1, 1, 20, 4, 4});
  const at::Tensor before = mlstm_with("portable", x.q, x.k, x.v, x.i, x.f, 1e-6);
  x.v.select(2, 15).fill_(1e6);
  x.i.select(2, 15).fill_(30);
  const at::Tensor after = mlstm_with("portable", x.q, x.k, x.v, x.i, x.f, 1e-6);
  EXPECT_TRUE(at::equal(before.slice(2, 0, 15), after.slice(2, 0, 15)));
  EXPECT_FALSE(at::equal(before.slice(2, 15), after.slice(2, 15)));
}

TEST(MlstmKernel, RefusesGatesOfAnotherLength) {
  const Inputs x({1, 1, 4, 2, 2}), y({1, 1, 5, 2, 2});
  EXPECT_ANY_THROW(mlstm_with("portable", x.q, x.k, x.v, y.i, y.f, 1e-6));
}

}  // namespace
}  // namespace pollard::kernels
