// SPDX-License-Identifier: Apache-2.0
#include "kernels/operators.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "graph/op_rules.h"
#include "kernels/lowering/lowering.h"
#include "kernels/monarch.h"
#include "kernels/packed_ops.h"
#include "tests/kernels/support/one_operator.h"

namespace pollard::kernels {
namespace {

Tensors layer(std::int64_t inputs, std::int64_t hidden, bool biases, std::int64_t gates = 4) {
  Tensors out;
  for (int direction = 0; direction < 2; ++direction) {
    out.push_back(at::randn({gates * hidden, inputs}) / 3);
    out.push_back(at::randn({gates * hidden, hidden}) / 3);
    if (biases) out.insert(out.end(), {at::randn({gates * hidden}), at::randn({gates * hidden})});
  }
  return out;
}

Tensors doubles(const Tensors& tensors) {
  Tensors out;
  for (const at::Tensor& t : tensors) out.push_back(t.to(at::kDouble));
  return out;
}

/// What works on weights before a network runs never stands in a program: a file that names it is refused.
TEST(Operators, WhatIsNotPackedHasARowInTheTable) {
  // Two work on weights before a network runs; max_pool2d stands in lowered programs alone.
  const std::set<std::string> apart{"pollard::slab_power_sums", "pollard::slice_gather",
                                    "pollard::max_pool2d"};
  std::size_t own = 0, without = 0;
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (!name.name.starts_with("pollard::") || name.name.starts_with("pollard::packed_")) continue;
    ++own;
    const bool row = graph::find_rule("pollard." + name.name.substr(9) + ".default") != nullptr;
    EXPECT_EQ(row, !apart.contains(name.name)) << name.name;
    if (!row) ++without;
  }
  EXPECT_EQ(own, 11U);
  EXPECT_EQ(without, apart.size());
}

TEST(Operators, BiLstm2dReadsColumnsAndRows) {
  for (const bool biases : {true, false})
    for (const std::int64_t hidden : {1, 7, 33}) {
      const at::Tensor x = at::randn({2, 5, 3, 6});
      const Tensors columns = layer(6, hidden, biases), rows = layer(6, hidden + 2, biases);
      const at::Tensor got = bilstm2d(x, columns, rows);
      expect_near(got, bilstm2d_by_aten(x.to(at::kDouble), doubles(columns), doubles(rows)));
      // A row of its own: what others hold does not reach it.
      const at::Tensor alone = bilstm2d(x.slice(1, 4), columns, rows).slice(-1, 2 * hidden);
      expect_near(alone, got.slice(1, 4).slice(-1, 2 * hidden));
    }
}

TEST(Operators, BiGruReadsSequencesAndMaps) {
  for (const bool biases : {true, false})
    for (const std::int64_t hidden : {1, 7, 33}) {
      const at::Tensor x = at::randn({2, 5, 3, 6});
      const Tensors columns = layer(6, hidden, biases, 3), rows = layer(6, hidden + 2, biases, 3);
      const at::Tensor got = bigru2d(x, columns, rows);
      expect_near(got, bigru2d_by_aten(x.to(at::kDouble), doubles(columns), doubles(rows)));
      const at::Tensor along = bigru(x.select(1, 4), rows);
      expect_near(along, bigru_by_aten(x.select(1, 4).to(at::kDouble), doubles(rows)));
      expect_near(along, got.select(1, 4).slice(-1, 2 * hidden));
    }
  EXPECT_ANY_THROW(bigru(at::randn({2, 5, 6}), layer(6, 4, true, 4)));
  EXPECT_ANY_THROW(bigru(at::randn({2, 5, 3, 6}), layer(6, 4, true, 3)));
}

TEST(Operators, GradientsFollowWhatTheyStandFor) {
  const at::Tensor x = at::randn({1, 3, 4, 5}).requires_grad_(), y = at::randn({4, 12}).requires_grad_();
  const Tensors columns = layer(5, 4, true), rows = layer(5, 3, true);
  bilstm2d(x, columns, rows).sum().backward();
  EXPECT_GT(x.grad().abs().min().item<double>(), 0);
  const at::Tensor z = at::randn({2, 3, 5}).requires_grad_();
  bigru(z, layer(5, 4, true, 3)).sum().backward();
  EXPECT_GT(z.grad().abs().min().item<double>(), 0);
  monarch(y, at::ones({3, 2, 4}), at::ones({2, 5, 3})).sum().backward();
  EXPECT_TRUE(at::equal(y.grad(), at::full({4, 12}, 10.0)));
}

TEST(Operators, SayTheirFormWithoutComputing) {
  const auto meta = at::TensorOptions().device(at::kMeta);
  const auto on_meta = [&](Tensors tensors) {
    for (at::Tensor& t : tensors) t = t.to(at::kMeta);
    return tensors;
  };
  EXPECT_EQ(
      bilstm2d(at::empty({2, 5, 3, 6}, meta), on_meta(layer(6, 4, true)), on_meta(layer(6, 3, true))).sizes(),
      at::IntArrayRef({2, 5, 3, 14}));
  EXPECT_EQ(bigru(at::empty({2, 5, 6}, meta), on_meta(layer(6, 4, true, 3))).sizes(),
            at::IntArrayRef({2, 5, 8}));
  EXPECT_EQ(monarch(at::empty({2, 12}, meta), at::empty({3, 4, 4}, meta), at::empty({2, 5, 6}, meta)).sizes(),
            at::IntArrayRef({2, 10}));
  const auto call = [](const char* name, std::vector<c10::IValue> stack) {
    c10::Dispatcher::singleton().findSchemaOrThrow(name, "").callBoxed(stack);
    return stack.at(0).toTensor().sizes().vec();
  };
  using Sizes = std::vector<std::int64_t>;
  const at::Tensor map = at::empty({2, 6, 5, 7}, meta), packed = at::empty({2, 1, 12, 4, 16}, meta);
  for (const char* name : {"pollard::packed_lstm", "pollard::packed_gru"}) {
    EXPECT_EQ(call(name, {map, packed, 4, 1}), (Sizes{2, 6, 5, 8}));
    EXPECT_EQ(call((std::string(name) + "_map").c_str(), {map, packed, packed, 4, 3}), (Sizes{2, 6, 5, 14}));
  }
  EXPECT_EQ(
      call("pollard::packed_monarch", {map, at::empty({1, 7, 16}, meta), at::empty({2, 4, 16}, meta), 8, 5}),
      (Sizes{2, 6, 5, 10}));
  EXPECT_EQ(call("pollard::packed_linear", {map, at::empty({9, 7}, meta), {}, {}, "relu"}),
            (Sizes{2, 6, 5, 9}));
  EXPECT_EQ(
      call("pollard::packed_conv2d",
           {map, at::empty({9, 6, 3, 3}, meta), {}, {}, Sizes{2, 2}, Sizes{1, 1}, Sizes{1, 1}, 1, "relu"}),
      (Sizes{2, 9, 3, 4}));
  const at::Tensor sum = at::empty({2, 9, 3, 4}, meta);
  EXPECT_EQ(
      call("pollard::packed_conv2d_",
           {map, at::empty({9, 6, 3, 3}, meta), {}, sum, Sizes{2, 2}, Sizes{1, 1}, Sizes{1, 1}, 1, "relu"}),
      sum.sizes().vec());
  const at::Tensor places = at::empty({6, 16}, meta);
  EXPECT_EQ(call("pollard::packed_pointwise", {map, places, {}, {}, 9, Sizes{2, 2}, true}),
            (Sizes{2, 9, 3, 4}));
  EXPECT_EQ(call("pollard::packed_pointwise_", {map, places, {}, sum, 9, Sizes{2, 2}, true}),
            sum.sizes().vec());
  const at::Tensor heads = at::empty({2, 3, 5, 4}, meta), gate = at::empty({2, 3, 5}, meta);
  EXPECT_EQ(call("pollard::mlstm", {heads, heads, at::empty({2, 3, 5, 7}, meta), gate, gate, 1e-6}),
            (Sizes{2, 3, 5, 7}));
}

/// 12 channels in three blocks to 10 in two.
OneOperator monarch_product() {
  OneOperator monarch({2, 3, 12});
  monarch.finish("pollard.monarch.default",
                 {{"input", monarch.x},
                  {"first", monarch.weight("first", at::randn({3, 4, 4}))},
                  {"second", monarch.weight("second", at::randn({2, 5, 6}))}},
                 {2, 3, 10});
  return monarch;
}

/// 5 hidden units along columns and 4 along rows, both ways.
void finish_bilstm(OneOperator& map) {
  map.finish("pollard.bilstm2d.default",
             {{"input", map.x},
              {"columns", map.weight_list("c", layer(6, 5, true))},
              {"rows", map.weight_list("r", layer(6, 4, true))}},
             {2, 4, 3, 18});
}

TEST(Operators, AreWrittenOutForExportersAndFoundAgain) {
  OneOperator bilstm({2, 4, 3, 6});
  finish_bilstm(bilstm);
  EXPECT_TRUE(all_aten(bilstm.lowered({"pack-lstms"})));
  EXPECT_EQ(targets(bilstm.lowered({})), Targets{"pollard.packed_lstm_map.default"});

  OneOperator mlstm({2, 3, 7, 4});
  const auto gate = [&](const char* name) { return mlstm.weight(name, at::randn({2, 3, 7})); };
  mlstm.finish("pollard.mlstm.default",
               {{"q", mlstm.x},
                {"k", mlstm.weight("k", at::randn({2, 3, 7, 4}))},
                {"v", mlstm.weight("v", at::randn({2, 3, 7, 5}))},
                {"i", gate("i")},
                {"f", gate("f")},
                {"eps", 1e-6}},
               {2, 3, 7, 5});
  EXPECT_TRUE(all_aten(mlstm.lowered({"fuse-mlstms"})));
  EXPECT_EQ(targets(mlstm.lowered({"constants"})).back(), "pollard.mlstm.default");

  const OneOperator monarch = monarch_product();
  EXPECT_TRUE(all_aten(monarch.lowered({"pack-monarchs"})));
  for (const char* without : {"constants", "gelu"})
    EXPECT_EQ(targets(monarch.lowered({without})), Targets{"pollard.packed_monarch.default"});
}

/// Written out, turned factors folded or not, and as it is.
TEST(Operators, ForACudaDeviceMonarchProductsRunOnPlainFactors) {
  const OneOperator monarch = monarch_product();
  const at::Tensor want = Executor(monarch.b.program).run(monarch.weights, {monarch.input}).at(0);
  for (const char* without : {"constants", "gelu"}) {
    const Lowered plain = monarch.lowered({"pack-monarchs", without});
    ASSERT_TRUE(all_aten(plain));
    const Lowered found = lower(plain.program, plain.weights, {.without = {without}, .device = at::kCUDA});
    EXPECT_EQ(targets(found), Targets{"pollard.monarch.default"});
    expect_near(Executor(found.program).run(found.weights, {monarch.input}).at(0), want);
  }
  const Lowered kept = lower(monarch.b.program, monarch.weights, {.device = at::kCUDA});
  EXPECT_EQ(targets(kept), Targets{"pollard.monarch.default"});
  EXPECT_TRUE(kept.applied.empty());
}

TEST(Operators, GruLayersAreFoundAgain) {
  OneOperator along({2, 5, 6}), map({2, 4, 3, 6});
  along.finish("pollard.bigru.default",
               {{"input", along.x}, {"weights", along.weight_list("w", layer(6, 5, true, 3))}}, {2, 5, 10});
  map.finish("pollard.bigru2d.default",
             {{"input", map.x},
              {"columns", map.weight_list("c", layer(6, 5, true, 3))},
              {"rows", map.weight_list("r", layer(6, 4, true, 3))}},
             {2, 4, 3, 18});
  for (const OneOperator* one : {&along, &map}) EXPECT_TRUE(all_aten(one->lowered({"pack-grus"})));
  EXPECT_EQ(targets(along.lowered({})), Targets{"pollard.packed_gru.default"});
  EXPECT_EQ(targets(map.lowered({})), Targets{"pollard.packed_gru_map.default"});
}

TEST(Operators, ForACudaDeviceLayersArePackedOnce) {
  OneOperator bilstm({2, 4, 3, 6}), along({2, 5, 6});
  finish_bilstm(bilstm);
  along.finish("pollard.bigru.default",
               {{"input", along.x}, {"weights", along.weight_list("w", layer(6, 5, true, 3))}}, {2, 5, 10});
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto on_cuda = [&](const OneOperator& one) {
      const Lowered lowered = lower(one.b.program, one.weights, {.device = at::kCUDA, .type = type});
      for (const auto& [name, weight] : lowered.weights)
        if (name.ends_with(".packed")) EXPECT_EQ(weight.scalar_type(), type) << name;
      return targets(lowered);
    };
    EXPECT_EQ(on_cuda(bilstm), Targets{"pollard.packed_lstm_map.default"});
    EXPECT_EQ(on_cuda(along), Targets{"pollard.packed_gru.default"});
  }
  for (const OneOperator* one : {&bilstm, &along})
    EXPECT_TRUE(all_aten(lower(one->b.program, one->weights, {.device = at::kCUDA, .type = at::kHalf})));
}

TEST(Operators, RunAtOtherSizesWhereTheProgramMay) {
  OneOperator bilstm({2, 4, 3, 6});
  finish_bilstm(bilstm);
  for (graph::Value& value : bilstm.b.program.values)
    if (value.name == "x" || value.name == "y") value.shape[0].expr = "s0", value.shape[1].expr = "s1";
  bilstm.input = at::randn({3, 7, 3, 6});
  EXPECT_TRUE(all_aten(bilstm.lowered({"pack-lstms"})));
  bilstm.lowered({});
}

}  // namespace
}  // namespace pollard::kernels
