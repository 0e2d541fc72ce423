// SPDX-License-Identifier: Apache-2.0
#include "kernels/monarch.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include "kernels/recurrent/layer.h"
#include "tests/kernels/support/one_operator.h"

namespace pollard::kernels {
namespace {

struct Shape {
  std::int64_t rows, k, q, p, l, s;
};

struct Factors {
  at::Tensor x, first, second;
  explicit Factors(const Shape& t)
      : x(at::randn({t.rows, t.k * t.p})),
        first(at::randn({t.k, t.q, t.p})),
        second(at::randn({t.l, t.s, t.k * t.q / t.l})) {}
  at::Tensor in_double() const {
    const at::Tensor rows = x.to(at::kDouble).view({-1, first.size(0), first.size(2)}),
                     a = at::einsum("kqp,bkp->bkq", {first.to(at::kDouble), rows})
                             .reshape({-1, second.size(2), second.size(0)});
    return at::einsum("lsr,brl->bsl", {second.to(at::kDouble), a}).flatten(1);
  }
};

at::Tensor packed(const Factors& f) {
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, std::int64_t, std::int64_t);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("pollard::packed_monarch", "").typed<Signature>();
  return op.call(f.x, pack_monarch_factor(f.first), pack_monarch_factor(f.second), f.first.size(1),
                 f.second.size(1));
}

class MonarchKernel : public ::testing::TestWithParam<Shape> {};

TEST_P(MonarchKernel, IsTwoBlockDiagonalMatricesAndTheirPermutations) {
  const Factors f(GetParam());
  const at::Tensor want = f.in_double();
  for (const char* set : layer_instruction_sets())
    expect_near(monarch_with(set, f.x, f.first, f.second), want);
  expect_near(monarch(f.x, f.first, f.second), want);
  expect_near(monarch_by_aten(f.x, f.first, f.second), want);
  expect_near(packed(f), want);
}

/// Around every number of lanes, of vectors in a panel, of rows at once and of blocks that are interleaved in registers.
INSTANTIATE_TEST_SUITE_P(Ragged, MonarchKernel,
                         ::testing::Values(Shape{1, 1, 1, 1, 1, 1}, Shape{7, 3, 4, 4, 2, 5},
                                           Shape{33, 4, 33, 7, 4, 95}, Shape{95, 8, 7, 9, 8, 33},
                                           Shape{100, 5, 12, 5, 3, 17}, Shape{197, 2, 64, 16, 1, 70},
                                           Shape{50, 4, 12, 24, 16, 6}, Shape{6, 1, 48, 95, 6, 129}));

TEST(Monarch, KeepsTheDimensionsBefore) {
  Factors f({24, 3, 4, 4, 2, 5});
  const at::Tensor flat = packed(f);
  f.x = f.x.view({2, 3, 4, 12}).transpose(0, 2);
  EXPECT_TRUE(at::equal(packed(f), flat.view({2, 3, 4, 10}).transpose(0, 2)));
  EXPECT_EQ(monarch(at::empty({0, 12}), f.first, f.second).sizes(), at::IntArrayRef({0, 10}));
}

TEST(Monarch, ComputesTheSameOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const Factors f({203, 4, 12, 8, 4, 20});
  at::set_num_threads(1);
  const at::Tensor alone = packed(f);
  at::set_num_threads(3);
  const at::Tensor shared = packed(f);
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(shared, alone));
}

TEST(Monarch, RefusesWhatDoesNotFitAndRunsInDouble) {
  Factors f({100, 3, 4, 4, 2, 5});
  EXPECT_ANY_THROW(monarch(f.x, f.first, at::randn({2, 5, 7})));
  EXPECT_ANY_THROW(monarch(f.x.slice(1, 1), f.first, f.second));
  EXPECT_ANY_THROW(pack_monarch_factor(f.first.to(at::kDouble)));
  const at::Tensor want = f.in_double();
  EXPECT_TRUE(at::allclose(monarch(f.x.to(at::kDouble), f.first.to(at::kDouble), f.second.to(at::kDouble)),
                           want, 1e-12, 1e-12));
}

}  // namespace
}  // namespace pollard::kernels
