// SPDX-License-Identifier: Apache-2.0
#include "kernels/max_pool.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <limits>

#include "kernels/recurrent/layer.h"
#include "tests/kernels/support/one_operator.h"

namespace pollard::kernels {
namespace {

struct Shape {
  std::int64_t maps, channels, height, width;
  std::vector<std::int64_t> kernel, stride, padding, dilation;
};

at::Tensor innermost(const at::Tensor& map) { return map.contiguous(at::MemoryFormat::ChannelsLast); }

/// Equal bit for bit, NaN equal to NaN.
void expect_equal(const at::Tensor& got, const at::Tensor& want) {
  ASSERT_EQ(got.sizes(), want.sizes());
  EXPECT_TRUE(at::equal(got.isnan(), want.isnan()));
  EXPECT_TRUE(at::equal(got.nan_to_num(7), want.nan_to_num(7)));
}

class MaxPool : public ::testing::TestWithParam<Shape> {};

TEST_P(MaxPool, IsATensForEveryInstructionSet) {
  const Shape& s = GetParam();
  const at::Tensor map = at::randn({s.maps, s.channels, s.height, s.width});
  const at::Tensor want = at::max_pool2d(map, s.kernel, s.stride, s.padding, s.dilation);
  for (const char* set : layer_instruction_sets()) {
    const at::Tensor got = max_pool_with(set, innermost(map), s.kernel, s.stride, s.padding, s.dilation);
    expect_equal(got, want);
    EXPECT_TRUE(got.is_contiguous(at::MemoryFormat::ChannelsLast));
  }
  expect_equal(max_pool(innermost(map), s.kernel, s.stride, s.padding, s.dilation), want);
  expect_equal(max_pool(map, s.kernel, s.stride, s.padding, s.dilation), want);  // in ATen's operator
}

/// Channels around every number of lanes; windows that overlap, leave gaps, hang over an edge; two numbers or one.
INSTANTIATE_TEST_SUITE_P(Ragged, MaxPool,
                         ::testing::Values(Shape{2, 64, 112, 112, {3, 3}, {2, 2}, {1, 1}, {1, 1}},
                                           Shape{1, 1, 1, 1, {1}, {1}, {0}, {1}},
                                           Shape{3, 7, 9, 5, {3, 3}, {2, 2}, {1, 1}, {1, 1}},
                                           Shape{2, 33, 8, 7, {2}, {2}, {0}, {1}},
                                           Shape{2, 95, 11, 13, {3, 2}, {1, 3}, {1, 0}, {2, 1}},
                                           Shape{1, 16, 6, 6, {2, 3}, {3, 4}, {1, 1}, {3, 2}},
                                           Shape{1, 17, 4, 4, {2, 2}, {1, 1}, {1, 1}, {5, 1}},
                                           Shape{2, 15, 5, 5, {5, 5}, {1, 1}, {2, 2}, {1, 1}}));

TEST(MaxPool, ANaNIsLargerThanAnyNumberAndNothingIsLargerThanInfinity) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(),
                  kInfinity = std::numeric_limits<float>::infinity();
  for (std::int64_t channels : {3, 16, 20}) {
    at::Tensor map = at::randn({1, channels, 6, 6});
    map.select(1, 0).fill_(-kInfinity);
    map[0][1][2][3] = kNaN;
    map[0][2][5][5] = kInfinity;
    map[0][channels - 1][0][0] = kNaN;
    for (const char* set : layer_instruction_sets())
      expect_equal(max_pool_with(set, innermost(map), {3, 3}, {2, 2}, {1, 1}, {1, 1}),
                   at::max_pool2d(map, {3, 3}, {2, 2}, {1, 1}));
  }
}

TEST(MaxPool, WhatItsKernelDoesNotTakeIsATens) {
  const at::Tensor wide = at::randn({2, 5, 6, 6}, at::kDouble);
  expect_equal(max_pool(innermost(wide), {2, 2}, {2, 2}, {0, 0}, {1, 1}), at::max_pool2d(wide, 2, 2));
  const at::Tensor form = max_pool(at::empty({2, 5, 9, 7}, at::kMeta), {3, 3}, {2, 2}, {1, 1}, {1, 1});
  EXPECT_EQ(form.sizes(), at::IntArrayRef({2, 5, 5, 4}));
  EXPECT_ANY_THROW(
      max_pool(innermost(at::randn({1, 16, 4, 4})), {3, 3}, {2, 2}, {2, 2}, {1, 1}));  // padding > half
  EXPECT_ANY_THROW(
      max_pool(innermost(at::randn({1, 16, 2, 2})), {3, 3}, {1, 1}, {0, 0}, {1, 1}));  // nothing left
}

TEST(MaxPool, IsTheSameOnAnyNumberOfThreads) {
  const at::Tensor map = innermost(at::randn({3, 40, 33, 35}));
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor alone = max_pool(map, {3, 3}, {2, 2}, {1, 1}, {1, 1});
  at::set_num_threads(4);
  expect_equal(max_pool(map, {3, 3}, {2, 2}, {1, 1}, {1, 1}), alone);
  at::set_num_threads(threads);
}

Arg pair(std::int64_t a, std::int64_t b) { return Arg::List{a, b}; }

TEST(MaxPool, LoweringPutsItBehindAConvolution) {
  for (const auto& [stride, places] : {std::pair<Arg, std::int64_t>{pair(2, 1), 7}, {Arg::List{}, 4}}) {
    OneOperator net({2, 5, 8, 8});
    const ValueId map = net.b.tensor("map", {2, 20, 8, 8});
    net.b.op(
        "aten.conv2d.default",
        {{"input", net.x}, {"weight", net.weight("w", at::randn({20, 5, 3, 3}))}, {"padding", pair(1, 1)}},
        {map});
    net.finish("aten.max_pool2d.default", {{"self", map}, {"kernel_size", pair(2, 2)}, {"stride", stride}},
               {2, 20, 4, places});
    const Lowered lowered = net.lowered({});
    EXPECT_EQ(targets(lowered).back(), "pollard.max_pool2d.default");
    EXPECT_EQ(targets(net.lowered({"pool-by-channels"})).back(), "aten.max_pool2d.default");
    const at::Tensor y = Executor(lowered.program).run(lowered.weights, {net.input}).at(0);
    EXPECT_TRUE(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  }
}

TEST(MaxPool, LoweringLeavesToATenWhatRoundsUp) {
  OneOperator net({2, 5, 7, 7});
  net.finish("aten.max_pool2d.default", {{"self", net.x}, {"kernel_size", pair(2, 2)}, {"ceil_mode", true}},
             {2, 5, 4, 4});
  EXPECT_EQ(targets(net.lowered({})).back(), "aten.max_pool2d.default");
}

}  // namespace
}  // namespace pollard::kernels
