// SPDX-License-Identifier: Apache-2.0
#include "kernels/lowering/lowering.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "graph/error.h"
#include "graph/program_edit.h"
#include "kernels/packed_ops.h"
#include "tests/kernels/support/program_builder.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::ValueId;
using test::ProgramBuilder;
using Targets = std::vector<std::string>;

/// Small layers too are packed here.
Lowered lower_all(const graph::Program& program, const Weights& weights,
                  std::set<std::string, std::less<>> without = {}) {
  return lower(program, weights, {.without = std::move(without), .fewest_macs = 0});
}

Targets targets(const graph::Program& program) {
  Targets out;
  for (const graph::Op& op : program.ops) out.emplace_back(op.base_name());
  return out;
}

void expect_same(const graph::Program& program, const Weights& weights, const Lowered& lowered,
                 const std::vector<at::Tensor>& inputs) {
  const auto want = Executor(program).run(weights, inputs),
             got = Executor(lowered.program).run(lowered.weights, inputs);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_LE(got[i].sub(want[i]).abs().max().item<double>(), 1e-5 * want[i].abs().max().item<double>()) << i;
}

ValueId conv(ProgramBuilder& b, const std::string& name, ValueId x, std::int64_t in, std::int64_t out) {
  const ValueId w = b.weight(name, {out, in, 3, 3}), y = b.tensor("y_" + name, {2, out, 6, 6});
  b.op("aten.conv2d.default",
       {{"input", x}, {"weight", w}, {"padding", Arg::List{std::int64_t{1}, std::int64_t{1}}}}, {y});
  return y;
}

ValueId batch_norm(ProgramBuilder& b, ValueId x, const std::string& name, std::int64_t width) {
  const auto buffer = graph::Input::Kind::Buffer;
  const ValueId weight = b.weight(name + ".weight", {width}), bias = b.weight(name + ".bias", {width}),
                mean = b.weight(name + ".mean", {width}, buffer),
                var = b.weight(name + ".var", {width}, buffer);
  const ValueId y = b.tensor("y_" + name, {2, width, 6, 6});
  b.op("aten.batch_norm.default",
       {{"input", x},
        {"weight", weight},
        {"bias", bias},
        {"running_mean", mean},
        {"running_var", var},
        {"training", false},
        {"momentum", 0.1},
        {"eps", 1e-5},
        {"cudnn_enabled", false}},
       {y});
  return y;
}

/// s = relu(bn(conv(x))); relu(bn(conv(conv(s))) + s), with the in-place ops of a residual block.
struct Block {
  ProgramBuilder b;
  Weights weights;
  std::vector<at::Tensor> inputs{at::randn({2, 4, 6, 6})};
};

Block residual_block() {
  Block block;
  ProgramBuilder& b = block.b;
  const ValueId x = b.input("x", {2, 4, 6, 6});
  const ValueId side = batch_norm(b, conv(b, "a", x, 4, 8), "an", 8),
                active = b.tensor("active", {2, 8, 6, 6});
  b.op("aten.relu_.default", {{"self", side}}, {active});
  const ValueId main = batch_norm(b, conv(b, "d", conv(b, "c", active, 8, 8), 8, 8), "cn", 8);
  const ValueId sum = b.tensor("sum", {2, 8, 6, 6}), y = b.tensor("y", {2, 8, 6, 6});
  b.op("aten.add_.Tensor", {{"self", main}, {"other", active}}, {sum});
  b.op("aten.relu_.default", {{"self", sum}}, {y});
  b.output(y);
  block.weights = {
      {"a", at::randn({8, 4, 3, 3})}, {"c", at::randn({8, 8, 3, 3})}, {"d", at::randn({8, 8, 3, 3})}};
  for (const char* norm : {"an", "cn"}) {
    const std::string name = norm;
    block.weights[name + ".weight"] = at::randn({8});
    block.weights[name + ".bias"] = at::randn({8});
    block.weights[name + ".mean"] = at::randn({8});
    block.weights[name + ".var"] = at::rand({8}) + 0.5;
  }
  return block;
}

TEST(Lowering, AResidualBlockBecomesItsConvolutions) {
  const Block block = residual_block();
  const Lowered lowered = lower_all(block.b.program, block.weights);
  EXPECT_EQ(targets(lowered.program),
            (Targets{"contiguous", "packed_conv2d", "packed_conv2d", "packed_conv2d_"}));
  expect_same(block.b.program, block.weights, lowered, block.inputs);
  EXPECT_EQ(lowered.weights.size(), 5u);  // what was folded and packed is not kept twice
  // Each is named after the value it helps to make: "lowered.bn1.bias".
  std::set<std::string> values;
  for (const graph::Value& value : lowered.program.values) values.insert(value.name);
  for (const auto& [name, tensor] : lowered.weights) {
    const std::size_t start = std::string("lowered.").size();
    EXPECT_TRUE(values.contains(name.substr(start, name.rfind('.') - start))) << name;
  }
}

TEST(Lowering, SaysWhatItDid) {
  const Block block = residual_block();
  std::map<std::string_view, std::size_t> places;
  for (const auto& [rule, count] : lower_all(block.b.program, block.weights).applied) places[rule] = count;
  EXPECT_EQ(places, (std::map<std::string_view, std::size_t>{{"functional", 3},
                                                             {"batch-norms", 2},
                                                             {"pack-convolutions", 3},
                                                             {"fuse-activations", 1},
                                                             {"fuse-sums", 2},
                                                             {"channels-last", 1},
                                                             {"reuse-memory", 1}}));
}

/// A mask written into fresh memory piece by piece, as Swin makes it; `early`: one reader comes before the last piece.
ProgramBuilder filled_mask(bool early) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {4, 4}), mask = b.tensor("mask", {4, 4}), rows = b.tensor("rows", {2, 4}),
                filled = b.tensor("filled", {2, 4}), y = b.tensor("y", {4, 4}),
                first = b.tensor("first", {4, 4});
  b.op("aten.new_zeros.default", {{"self", x}, {"size", graph::Arg::List{std::int64_t{4}, std::int64_t{4}}}},
       {mask});
  if (early) b.op("aten.add.Tensor", {{"self", x}, {"other", mask}}, {first});
  b.op("aten.slice.Tensor",
       {{"self", mask}, {"dim", std::int64_t{0}}, {"start", std::int64_t{0}}, {"end", std::int64_t{2}}},
       {rows});
  b.op("aten.fill_.Scalar", {{"self", rows}, {"value", std::int64_t{3}}}, {filled});
  b.op("aten.add.Tensor", {{"self", early ? first : x}, {"other", mask}}, {y});
  b.output(y);
  return b;
}

TEST(Lowering, MemoryFilledWithNumbersIsComputedOnce) {
  const ProgramBuilder b = filled_mask(false);
  const Lowered lowered = lower_all(b.program, {});
  EXPECT_EQ(targets(lowered.program), (Targets{"add"}));
  expect_same(b.program, {}, lowered, {at::randn({4, 4})});
}

TEST(Lowering, MemoryReadBetweenTwoWritesStaysAsItIs) {
  const ProgramBuilder b = filled_mask(true);
  const Lowered lowered = lower_all(b.program, {});
  EXPECT_TRUE(std::ranges::any_of(lowered.program.ops, graph::writes));
  expect_same(b.program, {}, lowered, {at::randn({4, 4})});
}

TEST(Lowering, EveryRuleCanBeSwitchedOff) {
  const Block block = residual_block();
  for (const LoweringRule& rule : lowering_rules()) {
    const Lowered lowered = lower_all(block.b.program, block.weights, {std::string(rule.name)});
    for (const auto& applied : lowered.applied) EXPECT_NE(applied.rule, rule.name);
    expect_same(block.b.program, block.weights, lowered, block.inputs);
  }
}

TEST(Lowering, RefusesRulesThereAreNot) {
  try {
    lower_all(residual_block().b.program, residual_block().weights, {"pack-lines"});
    FAIL() << "an unknown rule was accepted";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0203");
  }
}

/// linear -> GELU by its tanh formula -> linear on flattened input, and the residual sum.
TEST(Lowering, AFeedForwardBlockBecomesTwoCalls) {
  ProgramBuilder b;
  const auto mul = [&](const char* name, ValueId v, Arg other) {
    const ValueId y = b.tensor(name, {2, 3, 8});
    b.op("aten.mul.Tensor", {{"self", v}, {"other", std::move(other)}}, {y});
    return y;
  };
  const auto add = [&](const char* name, ValueId v, Arg other, std::vector<std::int64_t> shape) {
    const ValueId y = b.tensor(name, std::move(shape));
    b.op("aten.add.Tensor", {{"self", v}, {"other", std::move(other)}}, {y});
    return y;
  };
  const ValueId w = b.weight("w", {8, 4}), bias = b.weight("b", {8}), v = b.weight("v", {8, 4}),
                c = b.weight("c", {4}), x = b.input("x", {2, 3, 4});
  const ValueId h = b.tensor("h", {2, 3, 8}), cube = b.tensor("cube", {2, 3, 8}),
                t = b.tensor("t", {2, 3, 8});
  b.op("aten.linear.default", {{"input", x}, {"weight", w}, {"bias", bias}}, {h});
  b.op("aten.pow.Tensor_Scalar", {{"self", h}, {"exponent", 3.0}}, {cube});
  const ValueId inner = add("inner", h, mul("scaled", cube, 0.044715), {2, 3, 8});
  b.op("aten.tanh.default", {{"self", mul("argument", inner, std::sqrt(2 / M_PI))}}, {t});
  const ValueId gelu = mul("gelu", mul("half", h, 0.5), add("one_more", t, 1.0, {2, 3, 8}));
  const ValueId flat = b.tensor("flat", {6, 8}), out = b.tensor("out", {6, 4}),
                back = b.tensor("back", {2, 3, 4}), dropped = b.tensor("dropped", {2, 3, 4});
  b.op("aten.view.default", {{"self", gelu}, {"size", Arg::List{std::int64_t{6}, std::int64_t{8}}}}, {flat});
  b.op("aten.addmm.default", {{"self", c}, {"mat1", flat}, {"mat2", v}}, {out});
  b.op("aten.view.default",
       {{"self", out}, {"size", Arg::List{std::int64_t{2}, std::int64_t{3}, std::int64_t{4}}}}, {back});
  b.op("aten.dropout.default", {{"input", back}, {"p", 0.1}, {"train", true}}, {dropped});
  b.output(add("sum", dropped, x, {2, 3, 4}));
  const Weights weights{
      {"w", at::randn({8, 4})}, {"b", at::randn({8})}, {"v", at::randn({8, 4})}, {"c", at::randn({4})}};
  const Lowered lowered = lower_all(b.program, weights);
  EXPECT_EQ(targets(lowered.program), (Targets{"packed_linear", "packed_linear"}));
  expect_same(b.program, weights, lowered, {at::randn({2, 3, 4})});
  expect_same(b.program, weights, lower_all(b.program, weights, {"pack-linears"}), {at::randn({2, 3, 4})});
}

TEST(Lowering, ComputesWhatDependsOnWeightsAloneOnce) {
  ProgramBuilder b;
  const ValueId table = b.weight("table", {4, 3}), state = b.weight("state", {3}, graph::Input::Kind::Buffer),
                x = b.input("x", {3});
  const ValueId row = b.tensor("row", {3}), next = b.tensor("next", {3}), y = b.tensor("y", {3}),
                noise = b.tensor("noise", {3});
  b.op("aten.select.int", {{"self", table}, {"dim", std::int64_t{0}}, {"index", std::int64_t{1}}}, {row});
  b.op("aten.add.Tensor", {{"self", state}, {"other", 1.0}}, {next});
  b.op("aten.rand_like.default", {{"self", row}}, {noise});
  b.op("aten.where.ScalarOther", {{"condition", x}, {"self", row}, {"other", 0.0}}, {y});
  for (ValueId id : {y, next, noise}) b.output(id);
  b.program.outputs[1].kind = graph::Output::Kind::BufferMutation;
  b.program.outputs[1].target = "state";
  b.program.values[static_cast<std::size_t>(x.index)].dtype = graph::DType::Bool;
  const Lowered lowered = lower_all(b.program, {{"table", at::randn({4, 3})}, {"state", at::zeros({3})}});
  // The row is a constant; a buffer that changes and a random number are not.
  EXPECT_EQ(targets(lowered.program), (Targets{"add", "rand_like", "where"}));
}

TEST(Lowering, LeavesWritesToSharedMemoryWhereTheyAre) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 4}), w = b.weight("w", {4, 4});
  const ValueId h = b.tensor("h", {2, 4}), row = b.tensor("row", {4}), zeroed = b.tensor("zeroed", {4});
  b.op("aten.linear.default", {{"input", x}, {"weight", w}}, {h});
  b.op("aten.select.int", {{"self", h}, {"dim", std::int64_t{0}}, {"index", std::int64_t{1}}}, {row});
  b.op("aten.zero_.default", {{"self", row}}, {zeroed});
  b.output(h);
  const Weights weights{{"w", at::randn({4, 4})}};
  const Lowered lowered = lower_all(b.program, weights);
  EXPECT_EQ(targets(lowered.program), (Targets{"linear", "select", "zero_"}));
  expect_same(b.program, weights, lowered, {at::randn({2, 4})});
}

TEST(Lowering, LeavesOtherTypesAlone) {
  ProgramBuilder b;
  const auto f64 = graph::DType::Float64;
  const ValueId x = b.input("x", {2, 4}, f64), w = b.weight("w", {4, 4}, graph::Input::Kind::Parameter, f64),
                y = b.tensor("y", {2, 4}, f64);
  b.op("aten.linear.default", {{"input", x}, {"weight", w}}, {y});
  b.output(y);
  const Weights weights{{"w", at::randn({4, 4}, at::kDouble)}};
  EXPECT_TRUE(lower_all(b.program, weights).applied.empty());
}

TEST(Lowering, LeavesLayersTooSmallToGain) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 4}), w = b.weight("w", {4, 4}), y = b.tensor("y", {2, 4});
  b.op("aten.linear.default", {{"input", x}, {"weight", w}}, {y});
  b.output(y);
  const Weights weights{{"w", at::randn({4, 4})}};
  EXPECT_EQ(targets(lower(b.program, weights).program), Targets{"linear"});
  EXPECT_EQ(targets(lower_all(b.program, weights).program), Targets{"packed_linear"});
}

TEST(PackedOps, RefuseWeightsThatAreNotPacked) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 4}), w = b.weight("w", {4, 4}), y = b.tensor("y", {2, 4});
  b.op("pollard.packed_linear.default",
       {{"input", x}, {"weight", w}, {"bias", Arg()}, {"other", Arg()}, {"activation", std::string("none")}},
       {y});
  b.output(y);
  try {
    Executor(b.program).run({{"w", at::randn({4, 4})}}, {at::randn({2, 4})});
    FAIL() << "a plain weight was read as a packed one";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0412");
  }
}

TEST(PackedOps, KnowTheirActivations) {
  EXPECT_TRUE(is_packed_activation("gelu_tanh"));
  EXPECT_FALSE(is_packed_activation("softplus"));
}

TEST(LoweringTo, Bf16PacksLayersInItAndRoundsAsItDoes) {
  if (!multiplies_bf16()) GTEST_SKIP() << "this CPU does not multiply bf16";
  Block block = residual_block();
  const graph::Program& program = block.b.program;
  const Lowered lowered = lower(program, block.weights, {.fewest_macs = 0, .type = at::kBFloat16});
  RunOptions exact, rounded;
  exact.compute_type = at::kDouble;
  rounded.compute_type = at::kBFloat16;
  const at::Tensor want = Executor(program).run(block.weights, block.inputs, exact).at(0),
                   got = Executor(lowered.program).run(lowered.weights, block.inputs, rounded).at(0);
  EXPECT_EQ(got.scalar_type(), at::kBFloat16);
  EXPECT_GT(std::ranges::count(targets(lowered.program), "packed_conv2d"), 0);
  const double gap = got.to(at::kDouble).sub(want).abs().max().item<double>(),
               scale = want.abs().max().item<double>();
  EXPECT_LE(gap, 3e-2 * scale);
  EXPECT_GT(gap, 1e-5 * scale);  // it was bf16
}

TEST(LoweringTo, Bf16LeavesToLibTorchWhatKnowsSinglePrecisionAlone) {
  const std::set<std::string_view> single{"pack-lstms",
                                          "pack-grus",
                                          "scan-maps",
                                          "fuse-focused-attention",
                                          "fuse-cascaded-attention",
                                          "pack-monarchs",
                                          "fuse-attention",
                                          "fuse-causal-convolutions",
                                          "fuse-mlstm-cells",
                                          "read-backwards",
                                          "multiply-places"};
  for (const LoweringRule& rule : lowering_rules())
    EXPECT_EQ(rule.single_only, single.contains(rule.name)) << rule.name;
}

}  // namespace
}  // namespace pollard::kernels
