// SPDX-License-Identifier: Apache-2.0
// Each construct by hand: what its parameters' dimensions are made of.
#include <gtest/gtest.h>

#include <set>

#include "graph/cost.h"
#include "graph/op_rules.h"
#include "tests/graph/program_builder.h"

namespace pollard::graph {
namespace {

using testing::ProgramBuilder;
using testing::term_of;

TEST(OpRules, EveryNameStandsOnceAndInOrder) {
  std::set<std::string_view> names;
  for (const OpRule* rule : all_rules()) EXPECT_TRUE(names.insert(rule->name).second) << rule->name;
  EXPECT_GT(names.size(), 300U);
}

TEST(OpRules, ARuleIsASignatureOrAFunction) {
  for (const OpRule* rule : all_rules())
    EXPECT_NE(rule->apply == nullptr, rule->signature.empty()) << rule->name;
}

TEST(OpRules, InPlaceOpsShareTheRuleOfTheirTwin) {
  EXPECT_EQ(find_rule("aten.relu_.default"), find_rule("aten.relu.default"));
  EXPECT_EQ(find_rule("aten.__and__.Tensor")->name, "__and__");
  EXPECT_EQ(find_rule("mylib.relu.default"), nullptr);
}

TEST(Rules, PackedQkvSplitLetsQueryKeyAndValueDifferInHeadDims) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 5, 8}), w = b.parameter("qkv", {24, 8}), o = b.parameter("out", {3, 8});
  const ValueId y = b.linear(x, w, {2, 5, 24});
  const auto parts =
      b.call("aten.chunk.default", {{"self", y}, {"chunks", std::int64_t{3}}, {"dim", std::int64_t{-1}}},
             {{2, 5, 8}, {2, 5, 8}, {2, 5, 8}});
  std::vector<ValueId> heads;
  for (ValueId part : parts) {
    const ValueId view =
        b.call("aten.view.default", {{"self", part}, {"size", Arg::List{2L, 5L, 2L, 4L}}}, {{2, 5, 2, 4}})[0];
    heads.push_back(
        b.call("aten.transpose.int", {{"self", view}, {"dim0", 1L}, {"dim1", 2L}}, {{2, 2, 5, 4}})[0]);
  }
  const ValueId a = b.call("aten.scaled_dot_product_attention.default",
                           {{"query", heads[0]}, {"key", heads[1]}, {"value", heads[2]}}, {{2, 2, 5, 4}})[0];
  const ValueId t =
      b.call("aten.transpose.int", {{"self", a}, {"dim0", 1L}, {"dim1", 2L}}, {{2, 5, 2, 4}})[0];
  const ValueId flat =
      b.call("aten.reshape.default", {{"self", t}, {"shape", Arg::List{2L, 5L, 8L}}}, {{2, 5, 8}})[0];
  const Program program = b.finish(b.linear(flat, o, {2, 5, 3}));
  const Dependencies d = analyse(program);
  ASSERT_EQ(d.groups.size(), 3U) << to_string(d, program);
  const Axis& head = d.axes[static_cast<std::size_t>(d.groups[0].axis)];
  EXPECT_EQ(head.role, Role::Head);
  EXPECT_EQ(head.size, 2);
  // query and key share one head dim, value has its own, heads are common.
  EXPECT_EQ(term_of(program, d, "qkv", 0), "[(a0:2 x a1:4) + (a0:2 x a1:4) + (a0:2 x a2:4)]");
  EXPECT_EQ(term_of(program, d, "out", 1), "(a0:2 x a2:4)");
}

TEST(Rules, BlocksOfAProjectionInputsAndOutputsAreThreeAxes) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 5, 6}), up = b.parameter("up", {24, 6});
  const ValueId q = b.parameter("q", {6, 4, 4}), v = b.parameter("v", {6, 4, 4}),
                down = b.parameter("down", {3, 24});
  const auto reshape = [&](ValueId t, const std::vector<std::int64_t>& shape) {
    return b.call("aten.reshape.default", {{"self", t}, {"shape", Arg::List(shape.begin(), shape.end())}},
                  {shape})[0];
  };
  const ValueId blocks = reshape(b.linear(x, up, {2, 5, 24}), {2, 5, 6, 4});
  std::vector<ValueId> heads;
  for (ValueId weight : {q, v}) {
    const ValueId y =
        b.call("aten.einsum.default",
               {{"equation", std::string("bsgi,goi->bsgo")}, {"tensors", Arg::List{blocks, weight}}},
               {{2, 5, 6, 4}})[0];
    const ValueId split = reshape(reshape(y, {2, 5, 24}), {2, 5, 3, 8});
    heads.push_back(
        b.call("aten.transpose.int", {{"self", split}, {"dim0", 1L}, {"dim1", 2L}}, {{2, 3, 5, 8}})[0]);
  }
  const ValueId keys =
      b.call("aten.transpose.int", {{"self", heads[0]}, {"dim0", 2L}, {"dim1", 3L}}, {{2, 3, 8, 5}})[0];
  const ValueId scores =
      b.call("aten.matmul.default", {{"self", heads[0]}, {"other", keys}}, {{2, 3, 5, 5}})[0];
  const ValueId mixed =
      b.call("aten.matmul.default", {{"self", scores}, {"other", heads[1]}}, {{2, 3, 5, 8}})[0];
  const ValueId back =
      b.call("aten.transpose.int", {{"self", mixed}, {"dim0", 1L}, {"dim1", 2L}}, {{2, 5, 3, 8}})[0];
  const Program program = b.finish(b.linear(reshape(back, {2, 5, 24}), down, {2, 5, 3}));
  const Dependencies d = analyse(program);
  // Heads of two blocks each; inputs, query-key outputs and value outputs of every block go apart.
  EXPECT_EQ(term_of(program, d, "up", 0), "(a0:3 x a1:2 x a2:4)");
  EXPECT_EQ(term_of(program, d, "q", 0), "(a0:3 x a1:2)");
  EXPECT_EQ(term_of(program, d, "q", 1), "a4:4");
  EXPECT_EQ(term_of(program, d, "q", 2), "a2:4");
  EXPECT_EQ(term_of(program, d, "v", 1), "a5:4");
  EXPECT_EQ(term_of(program, d, "v", 2), "a2:4");
  EXPECT_EQ(term_of(program, d, "down", 1), "(a0:3 x a1:2 x a5:4)");
}

TEST(Rules, FlattenAfterConvolutionKeepsChannelsTimesSpace) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {1, 3, 8, 8}), w = b.parameter("conv", {16, 3, 3, 3}),
                fc = b.parameter("fc", {10, 16 * 36});
  const ValueId y = b.call("aten.conv2d.default", {{"input", x}, {"weight", w}}, {{1, 16, 6, 6}})[0];
  const ValueId flat = b.call("aten.flatten.using_ints", {{"self", y}, {"start_dim", 1L}}, {{1, 576}})[0];
  const Program program = b.finish(b.linear(flat, fc, {1, 10}));
  const Dependencies d = analyse(program);
  EXPECT_EQ(term_of(program, d, "fc", 1), "(a0:16 x 6! x 6!)");
  EXPECT_EQ(term_of(program, d, "conv", 0), "a0:16");
}

TEST(Rules, WhatAConvolutionReadsAsPositionsStaysEvenWhenALayerMadeIt) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 5, 8}), rows = b.parameter("rows", {6, 8}),
                k = b.parameter("k", {4, 5, 3});
  const ValueId y = b.linear(x, rows, {2, 5, 6});
  const Program program =
      b.finish(b.call("aten.conv1d.default", {{"input", y}, {"weight", k}}, {{2, 4, 4}})[0]);
  EXPECT_EQ(term_of(program, analyse(program), "rows", 0), "6!");
}

TEST(Rules, ATransposedConvolutionMultipliesEachInputWithAKernelForEachOutputChannel) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 6, 4, 5}), k = b.parameter("k", {6, 3, 2, 2});
  const ValueId y = b.call("aten.conv_transpose2d.input",
                           {{"input", x}, {"weight", k}, {"stride", Arg::List{2L, 2L}}}, {{2, 3, 8, 10}})[0];
  const Program program = b.finish(y);
  const Dependencies d = analyse(program);
  EXPECT_EQ(CostModel(program, d).macs(full_widths(d)), 2 * 6 * 4 * 5 * 3 * 2 * 2);
}

TEST(Rules, AnUnknownOpFreezesWhatItTouchesAndIsNamedOnce) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 4}), w1 = b.parameter("w1", {6, 4}), w2 = b.parameter("w2", {6, 6}),
                w3 = b.parameter("w3", {3, 6});
  const ValueId h = b.linear(x, w1, {2, 6});
  const ValueId u = b.call("mylib.mystery.default", {{"self", h}}, {{2, 6}})[0];
  const ValueId v = b.call("mylib.mystery.default", {{"self", u}}, {{2, 6}})[0];
  const Program program = b.finish(b.linear(b.linear(v, w2, {2, 6}), w3, {2, 3}));
  const Dependencies d = analyse(program);
  ASSERT_EQ(d.unknown.size(), 1U);
  EXPECT_EQ(d.unknown[0].ops.size(), 2U);
  EXPECT_EQ(term_of(program, d, "w1", 0), "6!");
  ASSERT_EQ(d.groups.size(), 1U);  // between w2 and w3
}

TEST(Rules, SoftmaxFreezesWhatItRunsOverAndSaysWhere) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 4}), w1 = b.parameter("w1", {6, 4}), w2 = b.parameter("w2", {3, 6});
  const ValueId s =
      b.call("aten.softmax.int", {{"self", b.linear(x, w1, {2, 6})}, {"dim", -1L}}, {{2, 6}})[0];
  const Program program = b.finish(b.linear(s, w2, {2, 3}));
  const Dependencies d = analyse(program);
  EXPECT_TRUE(d.groups.empty());
  const Axis& axis = d.axes[static_cast<std::size_t>(d.axis_of(d[program.find_input("w1")->value].dims[0]))];
  EXPECT_EQ(axis.frozen.why, FreezeWhy::Softmax);
  EXPECT_NE(explain_freeze(axis.frozen, program).find("aten.softmax.int"), std::string::npos);
}

TEST(Rules, ASigmoidBeforeASumOfActivationsMakesTheGroupRenormalised) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 4}), w1 = b.parameter("w1", {6, 4}), w2 = b.parameter("w2", {3, 6});
  const ValueId s = b.call("aten.sigmoid.default", {{"self", b.linear(x, w1, {2, 6})}}, {{2, 6}})[0];
  const ValueId total =
      b.call("aten.sum.dim_IntList", {{"self", s}, {"dim", Arg::List{-1L}}, {"keepdim", true}}, {{2, 1}})[0];
  const ValueId scaled = b.call("aten.mul.Tensor", {{"self", s}, {"other", total}}, {{2, 6}})[0];
  const Program program = b.finish(b.linear(scaled, w2, {2, 3}));
  const Dependencies d = analyse(program);
  ASSERT_EQ(d.groups.size(), 1U);
  EXPECT_TRUE(d.axes[static_cast<std::size_t>(d.groups[0].axis)].renormalised);
}

TEST(Rules, ASumOfWhatIsZeroWhenMaskedStaysExact) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 4}), w1 = b.parameter("w1", {6, 4}), w2 = b.parameter("w2", {3, 6});
  const ValueId h = b.call("aten.relu.default", {{"self", b.linear(x, w1, {2, 6})}}, {{2, 6}})[0];
  const ValueId total =
      b.call("aten.sum.dim_IntList", {{"self", h}, {"dim", Arg::List{-1L}}, {"keepdim", true}}, {{2, 1}})[0];
  const ValueId scaled = b.call("aten.mul.Tensor", {{"self", h}, {"other", total}}, {{2, 6}})[0];
  const Program program = b.finish(b.linear(scaled, w2, {2, 3}));
  const Dependencies d = analyse(program);
  ASSERT_EQ(d.groups.size(), 1U);
  EXPECT_FALSE(d.axes[static_cast<std::size_t>(d.groups[0].axis)].renormalised);
}

TEST(Rules, TheStepsOfARecurrentLayerKeepTheirOrder) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 5, 8}), w = b.parameter("w", {6, 8});
  const ValueId ih = b.parameter("ih", {9, 5}), hh = b.parameter("hh", {9, 3});
  const ValueId bi = b.parameter("bi", {9}), bh = b.parameter("bh", {9}), h0 = b.input("h0", {1, 2, 3});
  const ValueId features = b.linear(x, w, {2, 5, 6});
  const ValueId steps =
      b.call("aten.transpose.int", {{"self", features}, {"dim0", 1L}, {"dim1", 2L}}, {{2, 6, 5}})[0];
  const ValueId out = b.call("aten.gru.input",
                             {{"input", steps},
                              {"hx", h0},
                              {"params", Arg::List{ih, hh, bi, bh}},
                              {"has_biases", true},
                              {"num_layers", 1L},
                              {"batch_first", true}},
                             {{2, 6, 3}, {1, 2, 3}})[0];
  const ValueId last = b.call("aten.select.int", {{"self", out}, {"dim", 1L}, {"index", -1L}}, {{2, 3}})[0];
  const Program program = b.finish(last);
  const Dependencies d = analyse(program);
  EXPECT_EQ(term_of(program, d, "w", 0), "6!") << to_string(d, program);
}

TEST(Rules, AStridedSliceIsTheMajorPartOfAProduct) {
  ProgramBuilder b;  // rotary embedding with interleaved pairs
  const ValueId x = b.input("x", {2, 4}), w1 = b.parameter("w1", {6, 4}), w2 = b.parameter("w2", {3, 3});
  const ValueId h = b.linear(x, w1, {2, 6});
  const ValueId even = b.call(
      "aten.slice.Tensor", {{"self", h}, {"dim", 1L}, {"start", 0L}, {"end", 6L}, {"step", 2L}}, {{2, 3}})[0];
  const Program program = b.finish(b.linear(even, w2, {2, 3}));
  const Dependencies d = analyse(program);
  EXPECT_EQ(term_of(program, d, "w1", 0), "(a0:3 x 2!)");
}

TEST(Rules, EigenvectorsOfTheRowsFreezeRowsAndLeaveHeadsAndFeatures) {
  ProgramBuilder b;  // K_WW^-1/2 of the anchors w of each head, applied to what they see of x
  const ValueId x = b.input("x", {2, 5, 8}), q = b.parameter("q", {12, 8}), w = b.parameter("w", {3, 6, 4});
  const ValueId view =
      b.call("aten.view.default", {{"self", b.linear(x, q, {2, 5, 12})}, {"size", Arg::List{2L, 5L, 3L, 4L}}},
             {{2, 5, 3, 4}})[0];
  const ValueId heads =
      b.call("aten.transpose.int", {{"self", view}, {"dim0", 1L}, {"dim1", 2L}}, {{2, 3, 5, 4}})[0];
  const ValueId wt = b.call("aten.transpose.int", {{"self", w}, {"dim0", 1L}, {"dim1", 2L}}, {{3, 4, 6}})[0];
  const ValueId gram = b.call("aten.matmul.default", {{"self", w}, {"other", wt}}, {{3, 6, 6}})[0];
  const std::vector<ValueId> eigen =
      b.call("aten.linalg_eigh.default", {{"self", gram}}, {{3, 6}, {3, 6, 6}});
  const ValueId diagonal = b.call("aten.diag_embed.default", {{"self", eigen[0]}}, {{3, 6, 6}})[0];
  const ValueId root =
      b.call("aten.matmul.default", {{"self", eigen[1]}, {"other", diagonal}}, {{3, 6, 6}})[0];
  const ValueId seen = b.call("aten.matmul.default", {{"self", heads}, {"other", wt}}, {{2, 3, 5, 6}})[0];
  const ValueId mapped = b.call("aten.matmul.default", {{"self", seen}, {"other", root}}, {{2, 3, 5, 6}})[0];
  const Program program =
      b.finish(b.call("aten.sum.dim_IntList", {{"self", mapped}, {"dim", Arg::List{1L}}}, {{2, 5, 6}})[0]);
  const Dependencies d = analyse(program);
  EXPECT_TRUE(d.unknown.empty());
  EXPECT_EQ(term_of(program, d, "q", 0), "(a0:3 x a1:4)") << to_string(d, program);
  EXPECT_EQ(term_of(program, d, "w", 0), "a0:3");
  EXPECT_EQ(term_of(program, d, "w", 1), "6!");
  EXPECT_EQ(term_of(program, d, "w", 2), "a1:4");
}

TEST(Rules, DeformableSamplingTiesAHeadsOffsetsToItsValuesAndKeepsThePoints) {
  ProgramBuilder b;  // 3 heads of 4, each reading 2 points of a 6 x 7 map for 5 queries
  const ValueId x = b.input("x", {2, 42, 8}), q = b.input("q", {2, 5, 8});
  const ValueId value = b.parameter("value", {12, 8}), offsets = b.parameter("offsets", {12, 8}),
                weights = b.parameter("weights", {6, 8}), out = b.parameter("out", {3, 12});
  const auto view = [&](ValueId from, std::vector<std::int64_t> shape) {
    Arg::List size(shape.begin(), shape.end());
    return b.call("aten.reshape.default", {{"self", from}, {"shape", size}}, {shape})[0];
  };
  const auto permuted = [&](ValueId from, Arg::List dims, std::vector<std::int64_t> shape) {
    return b.call("aten.permute.default", {{"self", from}, {"dims", dims}}, {shape})[0];
  };
  const ValueId heads = view(b.linear(x, value, {2, 42, 12}), {2, 42, 3, 4});
  const ValueId map = view(permuted(heads, {0L, 2L, 3L, 1L}, {2, 3, 4, 42}), {6, 4, 6, 7});
  const ValueId places = view(b.linear(q, offsets, {2, 5, 12}), {2, 5, 3, 2, 2});
  const ValueId grid = view(permuted(places, {0L, 2L, 1L, 3L, 4L}, {2, 3, 5, 2, 2}), {6, 5, 2, 2});
  const ValueId seen =
      b.call("aten.grid_sampler.default", {{"input", map}, {"grid", grid}}, {{6, 4, 5, 2}})[0];
  const ValueId chosen = view(b.linear(q, weights, {2, 5, 6}), {2, 5, 3, 2});
  const ValueId soft = b.call("aten.softmax.int", {{"self", chosen}, {"dim", -1L}}, {{2, 5, 3, 2}})[0];
  const ValueId factors = view(permuted(soft, {0L, 2L, 1L, 3L}, {2, 3, 5, 2}), {6, 1, 5, 2});
  const ValueId mixed = b.call("aten.mul.Tensor", {{"self", seen}, {"other", factors}}, {{6, 4, 5, 2}})[0];
  const ValueId sum =
      b.call("aten.sum.dim_IntList", {{"self", mixed}, {"dim", Arg::List{-1L}}}, {{6, 4, 5}})[0];
  const ValueId back = permuted(view(sum, {2, 3, 4, 5}), {0L, 3L, 1L, 2L}, {2, 5, 3, 4});
  const Program program = b.finish(b.linear(view(back, {2, 5, 12}), out, {2, 5, 3}));
  const Dependencies d = analyse(program);
  EXPECT_EQ(term_of(program, d, "value", 0), "(a0:3 x a1:4)") << to_string(d, program);
  EXPECT_EQ(term_of(program, d, "out", 1), "(a0:3 x a1:4)");
  EXPECT_EQ(term_of(program, d, "offsets", 0), "(a0:3 x 2! x 2!)");
  EXPECT_EQ(term_of(program, d, "weights", 0), "(a0:3 x 2!)");
  for (const Group& group : d.groups)
    EXPECT_FALSE(d.axes[static_cast<std::size_t>(group.axis)].renormalised) << to_string(d, program);
}

TEST(Rules, ShapesThatContradictEachOtherAreRefused) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 4});
  const ValueId y = b.call("aten.permute.default", {{"self", x}, {"dims", Arg::List{0L, 7L}}}, {{2, 4}})[0];
  const Program program = b.finish(y);
  EXPECT_THROW(analyse(program), std::runtime_error);
}

}  // namespace
}  // namespace pollard::graph
