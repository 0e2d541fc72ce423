// SPDX-License-Identifier: Apache-2.0
// Programs that hold pollard's own operators prune like any other.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "kernels/lowering/lowering.h"
#include "models/onnx/export.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"
#include "tests/graph/program_builder.h"

namespace pollard::pruning {
namespace {

using graph::Arg;
using graph::ValueId;
using Shape = std::vector<std::int64_t>;

struct Builder : graph::testing::ProgramBuilder {
  models::Model finish_model(ValueId out) {
    models::Model model;
    model.program = finish(out);
    for (const graph::Input& input : model.program.inputs) {
      const Shape shape = model.program[input.value].sizes();
      if (input.kind == graph::Input::Kind::User)
        model.sample_inputs.push_back(at::randn(shape));
      else
        model.weights[input.source] = at::randn(shape) / 2;
    }
    return model;
  }
  ValueId dense(const std::string& name, ValueId x, Shape shape, std::int64_t in) {
    const std::int64_t out = shape.back();
    return linear(x, parameter(name, {out, in}), std::move(shape));
  }
  ValueId one(const std::string& target, std::vector<graph::NamedArg> args, Shape shape) {
    return call(target, std::move(args), {std::move(shape)})[0];
  }
};

Arg layer(Builder& b, const std::string& name, std::int64_t inputs, std::int64_t hidden,
          std::int64_t gates = 4) {
  Arg::List out;
  for (const std::string direction : {"", "_reverse"}) {
    out.emplace_back(b.parameter(name + "_ih" + direction, {gates * hidden, inputs}));
    out.emplace_back(b.parameter(name + "_hh" + direction, {gates * hidden, hidden}));
    out.emplace_back(b.parameter(name + "_bias_ih" + direction, {gates * hidden}));
    out.emplace_back(b.parameter(name + "_bias_hh" + direction, {gates * hidden}));
  }
  return out;
}

models::Model map_network(const char* target, std::int64_t gates) {
  Builder b;
  const ValueId x = b.dense("embed", b.input("x", {2, 4, 3, 5}), {2, 4, 3, 6}, 5);
  const ValueId y = b.one(
      target,
      {{"input", x}, {"columns", layer(b, "columns", 6, 8, gates)}, {"rows", layer(b, "rows", 6, 4, gates)}},
      {2, 4, 3, 24});
  return b.finish_model(b.dense("head", y, {2, 4, 3, 3}, 24));
}

models::Model bilstm2d_network() { return map_network("pollard.bilstm2d.default", 4); }
models::Model bigru2d_network() { return map_network("pollard.bigru2d.default", 3); }

models::Model bigru_network() {
  Builder b;
  const ValueId x = b.dense("embed", b.input("x", {2, 7, 5}), {2, 7, 6}, 5);
  const ValueId y =
      b.one("pollard.bigru.default", {{"input", x}, {"weights", layer(b, "gru", 6, 8, 3)}}, {2, 7, 16});
  return b.finish_model(b.dense("head", y, {2, 7, 3}, 16));
}

/// Two heads of 6 with gates of their own.
models::Model mlstm_network() {
  Builder b;
  const ValueId x = b.input("x", {2, 7, 5});
  const auto heads = [&](const char* name) {
    const ValueId flat = b.dense(name, x, {2, 7, 12}, 5);
    const ValueId split =
        b.one("aten.view.default", {{"self", flat}, {"size", Arg::List{2L, 7L, 2L, 6L}}}, {2, 7, 2, 6});
    return b.one("aten.transpose.int", {{"self", split}, {"dim0", 1L}, {"dim1", 2L}}, {2, 2, 7, 6});
  };
  const auto gate = [&](const char* name) {
    return b.one("aten.transpose.int", {{"self", b.dense(name, x, {2, 7, 2}, 5)}, {"dim0", 1L}, {"dim1", 2L}},
                 {2, 2, 7});
  };
  const ValueId q = heads("q"), k = heads("k"), v = heads("v"), i = gate("i"), f = gate("f");
  const ValueId y = b.one("pollard.mlstm.default",
                          {{"q", q}, {"k", k}, {"v", v}, {"i", i}, {"f", f}, {"eps", 1e-6}}, {2, 2, 7, 6});
  const ValueId back = b.one("aten.transpose.int", {{"self", y}, {"dim0", 1L}, {"dim1", 2L}}, {2, 7, 2, 6});
  const ValueId joined =
      b.one("aten.reshape.default", {{"self", back}, {"shape", Arg::List{2L, 7L, 12L}}}, {2, 7, 12});
  return b.finish_model(b.dense("head", joined, {2, 7, 3}, 12));
}

models::Model monarch_network() {
  Builder b;
  const ValueId x = b.dense("in", b.input("x", {3, 5}), {3, 24}, 5);
  const ValueId first = b.parameter("first", {4, 4, 6}), second = b.parameter("second", {2, 6, 8});
  const ValueId y =
      b.one("pollard.monarch.default", {{"input", x}, {"first", first}, {"second", second}}, {3, 12});
  return b.finish_model(b.dense("head", y, {3, 3}, 12));
}

/// Two heads of 6 channels in q and k, of 4 in v, over 5 queries and 7 keys.
models::Model focused_network() {
  Builder b;
  const ValueId x = b.input("x", {2, 5, 5}), y = b.input("y", {2, 7, 5});
  const ValueId q = b.dense("q", x, {2, 5, 12}, 5), k = b.dense("k", y, {2, 7, 12}, 5),
                v = b.dense("v", y, {2, 7, 8}, 5);
  const ValueId gain = b.one("aten.sigmoid.default", {{"self", b.parameter("gain", {1, 1, 12})}}, {1, 1, 12});
  const ValueId out =
      b.one("pollard.focused_linear_attention.default",
            {{"q", q}, {"k", k}, {"v", v}, {"gain", gain}, {"heads", 2L}, {"factor", 3L}}, {2, 5, 8});
  return b.finish_model(b.dense("head", out, {2, 5, 3}, 8));
}

/// Four heads of 6 with a gate each.
models::Model masked_network() {
  Builder b;
  const ValueId x = b.input("x", {2, 7, 5});
  const auto heads = [&](const char* name) {
    const ValueId flat = b.dense(name, x, {2, 7, 24}, 5);
    const ValueId split =
        b.one("aten.view.default", {{"self", flat}, {"size", Arg::List{2L, 7L, 4L, 6L}}}, {2, 7, 4, 6});
    return b.one("aten.transpose.int", {{"self", split}, {"dim0", 1L}, {"dim1", 2L}}, {2, 4, 7, 6});
  };
  const ValueId q = heads("q"), k = heads("k"), v = heads("v");
  const ValueId y =
      b.one("pollard.masked_attention.default",
            {{"query", q}, {"key", k}, {"value", v}, {"gate", b.parameter("gate", {4})}}, {2, 4, 7, 6});
  const ValueId back = b.one("aten.transpose.int", {{"self", y}, {"dim0", 1L}, {"dim1", 2L}}, {2, 7, 4, 6});
  const ValueId joined =
      b.one("aten.reshape.default", {{"self", back}, {"shape", Arg::List{2L, 7L, 24L}}}, {2, 7, 24});
  return b.finish_model(b.dense("head", joined, {2, 7, 3}, 24));
}

/// Three heads over 3 x 3 windows: 6 channels, 4 queries and keys each.
models::Model cascaded_network() {
  Builder b;
  const auto convolution = [&](const std::string& name, ValueId x, std::int64_t in, std::int64_t out) {
    return b.one("aten.conv2d.default", {{"input", x}, {"weight", b.parameter(name, {out, in, 1, 1})}},
                 {2, out, 3, 3});
  };
  const ValueId x = convolution("embed", b.input("x", {2, 5, 3, 3}), 5, 18);
  Arg::List qkv, qkv_bias, depthwise, depthwise_bias;
  for (const std::string h : {"0", "1", "2"}) {
    qkv.emplace_back(b.parameter("qkv" + h, {14, 6, 1, 1}));
    qkv_bias.emplace_back(b.parameter("qkv_bias" + h, {14}));
    depthwise.emplace_back(b.parameter("depthwise" + h, {4, 1, 3, 3}));
    depthwise_bias.emplace_back(b.parameter("depthwise_bias" + h, {4}));
  }
  const ValueId y = b.one("pollard.cascaded_group_attention.default",
                          {{"input", x},
                           {"qkv", qkv},
                           {"qkv_bias", qkv_bias},
                           {"depthwise", depthwise},
                           {"depthwise_bias", depthwise_bias},
                           {"bias", b.parameter("bias", {3, 9, 9})},
                           {"scale", 0.5}},
                          {2, 18, 3, 3});
  return b.finish_model(convolution("head", y, 18, 3));
}

struct Case {
  const char* name;
  models::Model (*make)();
  const char* target;
};

class OperatorPruning : public ::testing::TestWithParam<Case> {};

TEST_P(OperatorPruning, HalfLeavesAndTheRestComputesTheSame) {
  const models::Model model = GetParam().make();
  const graph::Dependencies dependencies = graph::analyse(model.program);
  PlanOptions options;
  options.ratio = 0.5;
  const Plan plan = make_plan(model, dependencies, options);
  const models::Model pruned = prune(model, dependencies, plan.removal);
  const Verification v = verify(model, pruned, dependencies, plan.removal, {.inputs = 3});
  EXPECT_TRUE(v.ok) << v.max_relative;
  EXPECT_GT(v.change, 0);
  EXPECT_TRUE(std::ranges::any_of(pruned.program.ops,
                                  [](const graph::Op& op) { return op.target == GetParam().target; }));
  EXPECT_LT(plan.after.macs, 0.75 * static_cast<double>(plan.before.macs));
  const graph::Dependencies again = graph::analyse(pruned.program);
  const graph::Cost measured = graph::CostModel(pruned.program, again).evaluate(graph::full_widths(again));
  EXPECT_EQ(measured.macs, plan.after.macs);
}

TEST_P(OperatorPruning, WhatIsWrittenOutIsTheSameProofAndGoesToOnnx) {
  models::Model model = GetParam().make(), written = model;
  const kernels::Lowered plain =
      kernels::lower(model.program, model.weights,
                     {.without = {"constants", "pack-linears", "pack-lstms", "pack-grus", "pack-convolutions",
                                  "pack-monarchs", "fuse-mlstms", "fuse-attention", "fuse-focused-attention",
                                  "channels-last"}});
  written.program = plain.program;
  written.weights = plain.weights;
  const graph::Dependencies a = graph::analyse(model.program), b = graph::analyse(written.program);
  EXPECT_EQ(graph::CostModel(model.program, a).evaluate(graph::full_widths(a)).macs,
            graph::CostModel(written.program, b).evaluate(graph::full_widths(b)).macs);
  EXPECT_EQ(a.groups.size(), b.groups.size())
      << graph::to_string(a, model.program) << graph::to_string(b, written.program);
  EXPECT_FALSE(models::onnx::translate(model).nodes.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, OperatorPruning,
    ::testing::Values(Case{"bilstm2d", bilstm2d_network, "pollard.bilstm2d.default"},
                      Case{"bigru2d", bigru2d_network, "pollard.bigru2d.default"},
                      Case{"bigru", bigru_network, "pollard.bigru.default"},
                      Case{"mlstm", mlstm_network, "pollard.mlstm.default"},
                      Case{"focused", focused_network, "pollard.focused_linear_attention.default"},
                      Case{"masked", masked_network, "pollard.masked_attention.default"},
                      Case{"cascaded", cascaded_network, "pollard.cascaded_group_attention.default"},
                      Case{"monarch", monarch_network, "pollard.monarch.default"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace pollard::pruning
