// SPDX-License-Identifier: Apache-2.0
// 1 x 1 convolutions as products of matrices: ATen's results for ragged sizes in every instruction set, sums in place.
#include "kernels/pointwise.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include <limits>

#include "kernels/recurrent/layer.h"
#include "tests/kernels/support/one_operator.h"

namespace pollard::kernels {
namespace {

at::Tensor innermost(const at::Tensor& map) { return map.contiguous(at::MemoryFormat::ChannelsLast); }

struct Shape {
  std::int64_t maps, inputs, outputs, height, width, down, across;
};

struct Layer {
  at::Tensor input, weight, bias, other;
  std::vector<std::int64_t> stride;

  explicit Layer(const Shape& s)
      : input(at::randn({s.maps, s.inputs, s.height, s.width})),
        weight(at::randn({s.outputs, s.inputs, 1, 1})),
        bias(at::randn({s.outputs})),
        stride{s.down, s.across} {
    other = at::randn(plain().sizes());
  }
  at::Tensor plain(const std::optional<at::Tensor>& with = {}) const {
    return at::conv2d(input, weight, with, stride);
  }
  at::Tensor packed(const std::optional<at::Tensor>& sum, bool relu) const {
    return call("pollard::packed_pointwise", input, sum, relu);
  }
  at::Tensor packed_into(at::Tensor& sum, bool relu) const {
    return call("pollard::packed_pointwise_", input, sum, relu);
  }

 private:
  at::Tensor call(const char* name, const at::Tensor& x, const std::optional<at::Tensor>& sum,
                  bool relu) const {
    std::vector<c10::IValue> stack{x, pack_pointwise_weight(weight), bias, sum, weight.size(0), stride, relu};
    c10::Dispatcher::singleton().findSchemaOrThrow(name, "").callBoxed(stack);
    return stack.at(0).toTensor();
  }
};

class Pointwise : public ::testing::TestWithParam<Shape> {};

TEST_P(Pointwise, IsATensConvolutionForEveryInstructionSet) {
  const Layer layer(GetParam());
  for (const char* set : layer_instruction_sets())
    for (const bool relu : {false, true}) {
      const auto wanted = [&](const at::Tensor& y) { return relu ? y.relu() : y; };
      const auto got = [&](const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& other) {
        return pointwise_with(set, layer.input, layer.weight, bias, other, layer.stride, relu);
      };
      expect_near(got({}, {}), wanted(layer.plain()));
      expect_near(got(layer.bias, {}), wanted(layer.plain(layer.bias)));
      expect_near(got(layer.bias, layer.other), wanted(layer.plain(layer.bias) + layer.other));
      EXPECT_TRUE(got({}, {}).is_contiguous(at::MemoryFormat::ChannelsLast));
    }
}

TEST_P(Pointwise, WritesOverWhatIsAddedWhateverItsLayout) {
  const Layer layer(GetParam());
  for (const at::Tensor& other : {innermost(layer.other), layer.other.contiguous()}) {
    at::Tensor sum = other.clone();
    const at::Tensor out = layer.packed_into(sum, true);
    EXPECT_EQ(out.const_data_ptr(), sum.const_data_ptr());
    expect_near(sum, (layer.plain(layer.bias) + layer.other).relu());
  }
}

/// Channels around vectors and panels of 64, places around tiles of six and blocks of 192, strides of one way and both.
INSTANTIATE_TEST_SUITE_P(Ragged, Pointwise,
                         ::testing::Values(Shape{1, 1, 1, 1, 1, 1, 1}, Shape{2, 7, 33, 5, 3, 1, 1},
                                           Shape{1, 64, 64, 13, 16, 1, 1}, Shape{3, 95, 65, 9, 8, 1, 1},
                                           Shape{2, 16, 130, 7, 9, 2, 2}, Shape{1, 33, 15, 8, 7, 1, 2},
                                           Shape{2, 20, 200, 6, 5, 3, 1}, Shape{1, 130, 256, 28, 7, 1, 1}));

TEST(Pointwise, IsTheSameOnAnyNumberOfThreads) {
  const Layer layer({2, 40, 70, 17, 19, 1, 1});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor alone = layer.packed(layer.other, true);
  at::set_num_threads(4);
  EXPECT_TRUE(at::equal(layer.packed(layer.other, true), alone));
  at::set_num_threads(threads);
}

TEST(Pointwise, ANaNStaysOneBehindReLU) {
  Layer layer({1, 4, 20, 6, 7, 1, 1});
  layer.input[0][2][3][3] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor nan = layer.packed({}, true).isnan();
  EXPECT_EQ(nan.sum().item<std::int64_t>(), 20);  // every output of that place, and no other
  EXPECT_TRUE(nan.select(2, 3).select(2, 3).all().item<bool>());
}

TEST(Pointwise, RefusesWhatDoesNotFit) {
  const Layer layer({1, 4, 20, 6, 7, 1, 1});
  const at::Tensor other = at::randn({1, 20, 6, 6});
  EXPECT_ANY_THROW(layer.packed(other, false));
  EXPECT_ANY_THROW(
      pointwise_with("portable", layer.input.to(at::kDouble), layer.weight, {}, {}, {1, 1}, false));
  EXPECT_ANY_THROW(pointwise_with("portable", at::randn({1, 5, 6, 7}), layer.weight, {}, {}, {1, 1}, false));
  EXPECT_ANY_THROW(pack_pointwise_weight(at::randn({4, 4, 3, 3})));
}

/// relu(conv(x) + conv(x)), the second sum written over the first layer's result.
OneOperator two_layers(std::int64_t side, std::int64_t outputs) {
  OneOperator net({2, 12, side, side});
  const std::vector<std::int64_t> shape{2, outputs, side, side};
  const auto layer = [&](const std::string& name) {
    const ValueId y = net.b.tensor(name, shape);
    net.b.op("aten.conv2d.default",
             {{"input", net.x},
              {"weight", net.weight(name + ".w", at::randn({outputs, 12, 1, 1}))},
              {"bias", net.weight(name + ".b", at::randn({outputs}))}},
             {y});
    return y;
  };
  const ValueId a = layer("a"), b = layer("b"), sum = net.b.tensor("sum", shape);
  net.b.op("aten.add.Tensor", {{"self", a}, {"other", b}}, {sum});
  net.finish("aten.relu.default", {{"self", sum}}, shape);
  return net;
}

TEST(Pointwise, LoweringPutsItWhereItPays) {
  const OneOperator net = two_layers(8, 24);
  const Targets found = targets(net.lowered({})), before = targets(net.lowered({"multiply-places"}));
  EXPECT_EQ(before, (Targets{"aten.contiguous.default", "pollard.packed_conv2d.default",
                             "pollard.packed_conv2d_.default"}));
  if (pointwise_pays(2 * 8 * 8, 12, 24))
    EXPECT_EQ(found, (Targets{"aten.contiguous.default", "pollard.packed_pointwise.default",
                              "pollard.packed_pointwise_.default"}));
  else
    EXPECT_EQ(found, before);
  const Targets few = targets(two_layers(2, 24).lowered({}));  // 8 places
  EXPECT_EQ(std::ranges::count(few, "pollard.packed_pointwise.default"), 0);
}

}  // namespace
}  // namespace pollard::kernels
