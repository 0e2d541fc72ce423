// SPDX-License-Identifier: Apache-2.0
#include "kernels/recurrent/mlstm_cell.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/recurrent/layer.h"

namespace pollard::kernels {
namespace {

struct Shape {
  std::int64_t batch, steps, heads, d;
  bool biases;
};

/// Blocks without signs: single precision says little where a sum near zero divides.
MlstmCellWeights weights_of(const Shape& s) {
  const std::int64_t width = s.heads * s.d;
  const auto blocks = [&] { return at::rand({width / 4, 4, 4}); };
  const auto bias = [&] { return s.biases ? std::optional(at::rand({width})) : std::nullopt; };
  const auto gate = [&] { return at::randn({s.heads, 3 * width}) / static_cast<double>(width); };
  return {.q = blocks(),
          .k = blocks(),
          .v = blocks(),
          .q_bias = bias(),
          .k_bias = bias(),
          .v_bias = bias(),
          .scale = 1 / std::sqrt(static_cast<double>(s.d)),
          .i = gate(),
          .f = gate(),
          .i_bias = at::randn({s.heads}),
          .f_bias = at::randn({s.heads}) + 3,
          .norm = at::randn({width}),
          .norm_bias = bias(),
          .skip = at::randn({width})};
}

MlstmCellWeights wide(MlstmCellWeights w) {
  for (at::Tensor* t : {&w.q, &w.k, &w.v, &w.i, &w.f, &w.i_bias, &w.f_bias, &w.norm, &w.skip})
    *t = t->to(at::kDouble);
  for (std::optional<at::Tensor>* t : {&w.q_bias, &w.k_bias, &w.v_bias, &w.norm_bias})
    if (*t) *t = (*t)->to(at::kDouble);
  return w;
}

void expect_close(const at::Tensor& got, const at::Tensor& want, const char* what) {
  ASSERT_EQ(got.sizes(), want.sizes());
  EXPECT_LE(got.sub(want).abs().max().item<double>(), 2e-5 * want.abs().max().item<double>()) << what;
}

/// Tokens as the two halves of one projection leave them.
struct Tokens {
  at::Tensor c, x, z;
  explicit Tokens(const Shape& s) {
    const at::Tensor both = at::randn({s.batch, s.steps, 2 * s.heads * s.d});
    x = both.chunk(2, 2)[0].abs_();
    z = both.chunk(2, 2)[1];
    c = at::rand({s.batch, s.steps, s.heads * s.d});
  }
};

class MlstmCellKernel : public ::testing::TestWithParam<Shape> {};

TEST_P(MlstmCellKernel, ComputesWhatTheOperatorsDoInDouble) {
  const Shape s = GetParam();
  const MlstmCellWeights w = weights_of(s);
  const Tokens t(s);
  const auto f64 = [](const at::Tensor& x) { return x.to(at::kDouble); };
  const at::Tensor want = mlstm_cell_by_aten(f64(t.c), f64(t.x), f64(t.z), wide(w), 1e-6, 1e-5);
  for (const char* set : layer_instruction_sets())
    expect_close(mlstm_cell_with(set, t.c, t.x, t.z, pack_mlstm_cell(w), 1e-6, 1e-5), want, set);
}

TEST_P(MlstmCellKernel, RunsBackwardsAsOverFlippedTokens) {
  const Shape s = GetParam();
  const PackedMlstmCell packed = pack_mlstm_cell(weights_of(s));
  const Tokens t(s);
  const auto flip = [](const at::Tensor& x) { return x.flip({1}); };
  for (const char* set : layer_instruction_sets())
    EXPECT_TRUE(at::equal(mlstm_cell_with(set, t.c, t.x, t.z, packed, 1e-6, 1e-5, true),
                          flip(mlstm_cell_with(set, flip(t.c), flip(t.x), flip(t.z), packed, 1e-6, 1e-5))))
        << set;
}

INSTANTIATE_TEST_SUITE_P(Ragged, MlstmCellKernel,
                         ::testing::Values(Shape{1, 1, 1, 4, false}, Shape{2, 7, 4, 8, true},
                                           Shape{1, 33, 3, 20, true}, Shape{2, 95, 5, 36, false},
                                           Shape{1, 20, 2, 96, true}, Shape{3, 5, 1, 100, false},
                                           Shape{1, 9, 4, 6, true}));  // blocks across heads

/// So many tokens that a state takes the place of earlier panels.
INSTANTIATE_TEST_SUITE_P(Long, MlstmCellKernel,
                         ::testing::Values(Shape{1, 257, 2, 8, true}, Shape{1, 333, 2, 50, false}));

class CausalConvolutionKernel : public ::testing::TestWithParam<Shape> {};

TEST_P(CausalConvolutionKernel, SeesNothingToCome) {
  const Shape s = GetParam();
  const std::int64_t width = s.heads * s.d;
  const at::Tensor x = at::randn({s.batch, s.steps, 2 * width}).slice(2, width);
  for (const std::int64_t kernel : {1, 4, 7}) {
    const at::Tensor weight = at::randn({kernel, width}), bias = at::randn({width});
    const at::Tensor y =
        at::conv1d(x.transpose(1, 2).to(at::kDouble), weight.t().unsqueeze(1).to(at::kDouble),
                   bias.to(at::kDouble), 1, kernel - 1, 1, width)
            .slice(2, 0, s.steps)
            .transpose(1, 2);
    for (const char* set : layer_instruction_sets()) {
      expect_close(causal_conv1d_with(set, x, weight, bias, "none"), y, set);
      expect_close(causal_conv1d_with(set, x, weight, bias, "silu"), at::silu(y), set);
      EXPECT_TRUE(at::equal(causal_conv1d_with(set, x.flip({1}), weight, bias, "none", true).flip({1}),
                            causal_conv1d_with(set, x, weight, bias, "none")))
          << set;
    }
  }
  EXPECT_ANY_THROW(causal_conv1d_with("portable", x, at::ones({2, width + 1}), at::ones({width}), "none"));
}

INSTANTIATE_TEST_SUITE_P(Ragged, CausalConvolutionKernel,
                         ::testing::Values(Shape{1, 1, 1, 1, false}, Shape{2, 7, 1, 33, false},
                                           Shape{3, 2, 1, 95, false}, Shape{1, 40, 4, 16, false}));

TEST(MlstmCell, ComputesTheSameOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const Shape s{2, 95, 4, 24, true};
  const PackedMlstmCell packed = pack_mlstm_cell(weights_of(s));
  const Tokens t(s);
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    return mlstm_cell_with("portable", t.c, t.x, t.z, packed, 1e-6, 1e-5);
  };
  const at::Tensor alone = run(1);
  EXPECT_TRUE(at::equal(run(3), alone));
  at::set_num_threads(before);
}

TEST(MlstmCell, RefusesWeightsOfAnotherWidth) {
  const Shape s{1, 3, 2, 8, false};
  const Tokens t({1, 3, 2, 40, false});
  EXPECT_ANY_THROW(mlstm_cell_with("portable", t.c, t.x, t.z, pack_mlstm_cell(weights_of(s)), 1e-6, 1e-5));
}

}  // namespace
}  // namespace pollard::kernels
