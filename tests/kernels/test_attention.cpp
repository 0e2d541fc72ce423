// SPDX-License-Identifier: Apache-2.0
// Focused linear, masked and cascaded group attention.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "kernels/attention/cascaded_attention.h"
#include "kernels/attention/focused_attention.h"
#include "kernels/attention/masked_attention.h"
#include "kernels/recurrent/layer.h"
#include "tests/kernels/support/one_operator.h"

namespace pollard::kernels {
namespace {

/// The derivative along a random direction against the difference quotient, in double.
void expect_gradients(const std::function<at::Tensor(const Tensors&)>& f, Tensors inputs) {
  Tensors directions;
  for (at::Tensor& t : inputs) {
    t = t.to(at::kDouble).requires_grad_();
    directions.push_back(at::randn(t.sizes(), at::kDouble));
  }
  const at::Tensor weights = at::randn(f(inputs).sizes(), at::kDouble);
  f(inputs).mul(weights).sum().backward();
  double slope = 0;
  const auto shifted = [&](double by) {
    Tensors at_point;
    for (std::size_t k = 0; k < inputs.size(); ++k)
      at_point.push_back(inputs[k].detach().add(directions[k], by));
    return f(at_point).mul(weights).sum().item<double>();
  };
  for (std::size_t k = 0; k < inputs.size(); ++k)
    slope += inputs[k].grad().mul(directions[k]).sum().item<double>();
  const double quotient = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
  EXPECT_NEAR(slope, quotient, 1e-5 * (1 + std::abs(slope)));
}

// Focused linear attention -------------------------------------------------------------------------------------

struct Shape {
  std::int64_t batch, queries, keys, heads, d, e, factor;
};

struct FocusedInputs {
  at::Tensor q, k, v, gain;
  FocusedOptions options;
  /// As they come from one projection: q a part of wider rows.
  explicit FocusedInputs(const Shape& s)
      : q(at::randn({s.batch, s.queries, 2 * s.heads * s.d}).slice(2, s.heads * s.d)),
        k(at::randn({s.batch, s.keys, s.heads * s.d})),
        v(at::randn({s.batch, s.keys, s.heads * s.e})),
        gain(at::rand({s.heads * s.d}) + 0.5),
        options{s.heads, s.factor} {}
  at::Tensor in_double() const {
    const auto f64 = [](const at::Tensor& t) { return t.to(at::kDouble); };
    return focused_attention_by_aten(f64(q), f64(k), f64(v), f64(gain), options);
  }
};

class FocusedKernel : public ::testing::TestWithParam<Shape> {};

TEST_P(FocusedKernel, ComputesTheFormulaInDouble) {
  const FocusedInputs x(GetParam());
  for (const char* set : layer_instruction_sets())
    expect_near(focused_attention_with(set, x.q, x.k, x.v, x.gain, x.options), x.in_double());
  expect_near(focused_attention(x.q, x.k, x.v, x.gain, x.options), x.in_double());
}

/// Around every number of lanes, of vectors in a block and of rows at once.
INSTANTIATE_TEST_SUITE_P(Ragged, FocusedKernel,
                         ::testing::Values(Shape{1, 1, 1, 1, 2, 1, 1}, Shape{2, 7, 5, 3, 5, 9, 3},
                                           Shape{1, 33, 49, 2, 16, 16, 3}, Shape{3, 13, 20, 4, 33, 33, 2},
                                           Shape{1, 6, 95, 1, 95, 70, 4}, Shape{2, 49, 49, 3, 32, 32, 3},
                                           Shape{1, 11, 7, 2, 7, 129, 8}));

/// What stands in the paper, without the re-bracketing that makes it linear.
TEST(FocusedAttention, IsTheQuadraticFormOfOneHead) {
  const FocusedInputs x({1, 9, 11, 1, 6, 4, 3});
  const auto focus = [&](const at::Tensor& t) {
    const at::Tensor a = t.to(at::kDouble).clamp_min(0).add(1e-6).mul(x.gain), p = a.pow(3);
    return p.mul(a.pow(2).sum(-1, true).div(p.pow(2).sum(-1, true)).sqrt());
  };
  const at::Tensor scores = at::matmul(focus(x.q), focus(x.k).transpose(1, 2)).div(11);
  expect_near(focused_attention(x.q, x.k, x.v, x.gain, x.options),
              at::matmul(scores, x.v.to(at::kDouble)).div(scores.sum(-1, true).add(1e-6)));
}

TEST(FocusedAttention, AChannelWithoutGainTakesNoPart) {
  FocusedInputs x({1, 5, 6, 1, 8, 3, 3});
  x.gain.slice(0, 5).zero_();
  const auto kept = [](const at::Tensor& t) { return t.slice(-1, 0, 5); };
  expect_near(focused_attention(x.q, x.k, x.v, x.gain, x.options),
              focused_attention(kept(x.q), kept(x.k), x.v, kept(x.gain), x.options));
}

TEST(FocusedAttention, LargePowersNeitherOverflowNorVanish) {
  FocusedInputs x({1, 4, 5, 1, 8, 3, 16});
  x.q.mul_(1e4);
  x.k.mul_(1e-4);
  expect_near(focused_attention(x.q, x.k, x.v, x.gain, x.options), x.in_double());
}

TEST(FocusedAttention, ComputesTheSameOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const FocusedInputs x({3, 37, 41, 2, 9, 7, 3});
  at::set_num_threads(1);
  const at::Tensor alone = focused_attention(x.q, x.k, x.v, x.gain, x.options);
  at::set_num_threads(3);
  const at::Tensor shared = focused_attention(x.q, x.k, x.v, x.gain, x.options);
  at::set_num_threads(before);
  EXPECT_TRUE(at::allclose(shared, alone, 1e-6, 1e-7));
}

TEST(FocusedAttention, RefusesWhatDoesNotFitAndFollowsGradients) {
  const FocusedInputs x({2, 5, 6, 2, 3, 4, 3});
  EXPECT_ANY_THROW(focused_attention(x.q, x.k, x.v, x.gain, {4, 3}));
  EXPECT_ANY_THROW(focused_attention(x.q, x.k, x.v, x.gain, {2, 0}));
  EXPECT_ANY_THROW(focused_attention(x.q, x.k, x.v.slice(1, 1), x.gain, x.options));
  EXPECT_ANY_THROW(focused_attention(x.q, x.k, x.v, x.gain.slice(0, 1), x.options));
  expect_gradients([&](const Tensors& t) { return focused_attention(t[0], t[1], t[2], t[3], x.options); },
                   {x.q, x.k, x.v, x.gain});
}

// Masked attention ---------------------------------------------------------------------------------------------

struct Heads {
  at::Tensor q = at::randn({2, 5, 7, 4}), k = at::randn({2, 5, 9, 4}), v = at::randn({2, 5, 9, 3});
};

TEST(MaskedAttention, GatesOfHeadsAndOfHeadsInABatchMultiplyWhatHeadsGive) {
  const Heads h;
  const at::Tensor of_all = at::tensor({0.0, 1.0, 0.5, 0.0, -2.0}, at::kFloat);
  const at::Tensor of_each = at::stack({of_all, at::tensor({1.0, 0.0, 0.0, 0.0, 3.0}, at::kFloat)});
  const at::Tensor position = at::randn({7, 9}), by_head = at::randn({5, 7, 9}),
                   by_both = at::randn({2, 5, 7, 9});
  for (const at::Tensor& gate : {of_all, of_each, at::ones({5}), at::zeros({2, 5})})
    for (const std::optional<at::Tensor>& mask : {std::optional<at::Tensor>(), std::optional(position),
                                                  std::optional(by_head), std::optional(by_both)})
      for (const std::optional<double> scale : {std::optional<double>(), std::optional(0.3)}) {
        const at::Tensor scores = at::matmul(h.q, h.k.transpose(2, 3)).mul(scale.value_or(0.5));
        const at::Tensor weights = at::softmax(mask ? scores.add(*mask) : scores, -1);
        const at::Tensor want = at::matmul(weights, h.v).mul(gate.unsqueeze(-1).unsqueeze(-1));
        const at::Tensor got = masked_attention(h.q, h.k, h.v, gate, {.mask = mask, .scale = scale});
        EXPECT_TRUE(at::allclose(got, want, 1e-5, 1e-6));
      }
  const at::Tensor causal = masked_attention(h.q, h.k, h.v, of_all, {.causal = true});
  EXPECT_TRUE(
      at::allclose(causal, masked_attention_by_aten(h.q, h.k, h.v, of_all, {.causal = true}), 1e-5, 1e-6));
}

struct MaskedShape {
  std::int64_t batch, heads, queries, keys, d, e;
};

class MaskedKernel : public ::testing::TestWithParam<MaskedShape> {};

/// q, k and v as parts of one projection's rows; every mask ATen knows; a third of the heads closed.
TEST_P(MaskedKernel, ComputesAttentionInDouble) {
  const MaskedShape s = GetParam();
  const auto heads = [&](std::int64_t length, std::int64_t width) {
    return at::randn({s.batch, length, s.heads, width + 3}).slice(-1, 1, 1 + width).transpose(1, 2);
  };
  const at::Tensor q = heads(s.queries, s.d), k = heads(s.keys, s.d), v = heads(s.keys, s.e),
                   gate = at::arange(s.batch * s.heads).remainder(3).to(at::kFloat).view({s.batch, s.heads}),
                   hidden = at::rand({s.batch, 1, s.queries, s.keys}) < 0.3;
  hidden.select(-1, 0).zero_();  // every query sees one key
  const auto f64 = [](const at::Tensor& t) { return t.to(at::kDouble); };
  for (const MaskedOptions& o :
       {MaskedOptions{}, MaskedOptions{.causal = true}, MaskedOptions{.scale = 0.7},
        MaskedOptions{.mask = hidden.logical_not()}, MaskedOptions{.mask = at::randn({s.queries, s.keys})},
        MaskedOptions{.mask = at::randn({s.heads, s.queries, 1})},
        MaskedOptions{.mask = at::randn({s.batch, s.heads, s.queries, 2 * s.keys}).slice(-1, 0, {}, 2)}}) {
    MaskedOptions in_double = o;
    if (o.mask && o.mask->is_floating_point()) in_double.mask = f64(*o.mask);
    const at::Tensor want = masked_attention_by_aten(f64(q), f64(k), f64(v), f64(gate), in_double);
    for (const char* set : layer_instruction_sets())
      expect_near(masked_attention_with(set, q, k, v, gate, o), want);
    expect_near(masked_attention(q, k, v, gate, o), want);
  }
}

/// Around every number of lanes, of vectors in a panel and of rows at once.
INSTANTIATE_TEST_SUITE_P(Ragged, MaskedKernel,
                         ::testing::Values(MaskedShape{1, 2, 1, 1, 1, 1}, MaskedShape{2, 3, 7, 7, 7, 7},
                                           MaskedShape{1, 2, 33, 33, 33, 33},
                                           MaskedShape{2, 2, 95, 95, 16, 95}, MaskedShape{1, 3, 5, 95, 8, 3},
                                           MaskedShape{3, 2, 13, 64, 32, 64},
                                           MaskedShape{1, 2, 50, 17, 95, 129}));

TEST(MaskedAttention, ComputesTheSameOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const at::Tensor q = at::randn({3, 5, 70, 16}), gate = at::arange(5).remainder(2).to(at::kFloat);
  at::set_num_threads(1);
  const at::Tensor alone = masked_attention(q, q, q, gate);
  at::set_num_threads(3);
  const at::Tensor shared = masked_attention(q, q, q, gate);
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(shared, alone));
}

/// Beyond what a core's cache holds, and in other types, open heads go through ATen's operator.
TEST(MaskedAttention, LongSequencesAndOtherTypesComputeTheSame) {
  const at::Tensor gate = at::tensor({0.0, 2.0}, at::kFloat), long_one = at::randn({1, 2, 4200, 40}),
                   few = at::randn({1, 2, 3, 40});
  const auto f64 = [](const at::Tensor& t) { return t.to(at::kDouble); };
  const at::Tensor want = masked_attention_by_aten(f64(few), f64(long_one), f64(long_one), f64(gate));
  expect_near(masked_attention(few, long_one, long_one, gate), want);
  EXPECT_TRUE(at::allclose(masked_attention(f64(few), f64(long_one), f64(long_one), f64(gate)), want, 1e-12));
}

TEST(MaskedAttention, AQueryThatSeesNoKeyGivesZero) {
  const at::Tensor q = at::randn({1, 2, 7, 4}), mask = at::ones({7, 7}, at::kBool);
  mask.select(0, 3).zero_();
  const at::Tensor got = masked_attention(q, q, q, at::ones({2}), {.mask = mask});
  EXPECT_EQ(got.select(2, 3).count_nonzero().item<std::int64_t>(), 0);
  EXPECT_TRUE(got.isfinite().all().item<bool>());
}

TEST(MaskedAttention, AClosedHeadIsNotComputed) {
  Heads h;
  h.k.select(1, 2).fill_(std::nan(""));
  const at::Tensor gate = at::ones({5}).index_fill(0, at::tensor({std::int64_t{2}}), 0);
  const at::Tensor got = masked_attention(h.q, h.k, h.v, gate);
  EXPECT_EQ(got.select(1, 2).count_nonzero().item<std::int64_t>(), 0);
  EXPECT_TRUE(got.isfinite().all().item<bool>());
}

TEST(MaskedAttention, AClosedGateHasAGradientToo) {
  const Heads h;
  const at::Tensor gate = at::tensor({0.0, 1.0, 0.0, 2.0, 1.0}, at::kFloat);
  expect_gradients([](const Tensors& t) { return masked_attention(t[0], t[1], t[2], t[3]); },
                   {h.q, h.k, h.v, gate});
  EXPECT_ANY_THROW(masked_attention(h.q, h.k, h.v, at::ones({4})));
  EXPECT_ANY_THROW(masked_attention(h.q, h.k.slice(1, 1), h.v, gate));
}

// Cascaded group attention -------------------------------------------------------------------------------------

struct CascadeShape {
  std::int64_t batch, height, width;
  std::vector<std::int64_t> read, keys, sides;  ///< of every head; each gives what the next reads
  std::int64_t last;                            ///< what the last gives
};

/// Heads of different widths, as pruning leaves them: 5 + 3 + 4 channels, the last giving 7.
struct Cascade {
  Tensors qkv, qkv_bias, depthwise, depthwise_bias;
  at::Tensor input, bias;
  explicit Cascade(const CascadeShape& s = {3, 4, 5, {5, 3, 4}, {2, 1, 3}, {5, 3, 1}, 7}) {
    const auto heads = std::ssize(s.read);
    const std::int64_t n = s.height * s.width;
    std::int64_t channels = 0;
    for (std::size_t h = 0; h < s.read.size(); ++h) {
      const std::int64_t given = h + 1 < s.read.size() ? s.read[h + 1] : s.last, keys = s.keys[h];
      const double each = 1 / std::sqrt(static_cast<double>(s.read[h]));
      qkv.push_back(at::randn({2 * keys + given, s.read[h], 1, 1}) * each);
      qkv_bias.push_back(at::randn({2 * keys + given}));
      depthwise.push_back(at::randn({keys, 1, s.sides[h], s.sides[h]}) / static_cast<double>(s.sides[h]));
      depthwise_bias.push_back(at::randn({keys}));
      channels += s.read[h];
    }
    input = at::randn({s.batch, channels, s.height, s.width});
    bias = at::randn({heads, n, n});
  }
  CascadedWeights weights() const { return {qkv, qkv_bias, depthwise, depthwise_bias, bias}; }
  at::Tensor in_double(double scale) const {
    const auto f64 = [](Tensors list) {
      for (at::Tensor& t : list) t = t.to(at::kDouble);
      return list;
    };
    const Tensors a = f64(qkv), b = f64(qkv_bias), c = f64(depthwise), d = f64(depthwise_bias);
    return cascaded_attention_by_aten(input.to(at::kDouble), {a, b, c, d, bias.to(at::kDouble)}, scale);
  }
};

class CascadedKernel : public ::testing::TestWithParam<CascadeShape> {};

TEST_P(CascadedKernel, ComputesTheFormulaInDouble) {
  const Cascade c(GetParam());
  const at::Tensor want = c.in_double(0.3);
  for (const char* set : layer_instruction_sets())
    expect_near(cascaded_attention_with(set, c.input, c.weights(), 0.3), want);
  expect_near(cascaded_attention(c.input.contiguous(at::MemoryFormat::ChannelsLast), c.weights(), 0.3), want);
}

/// Around every number of lanes, of vectors in a panel and of rows at once; convolutions wider than the map.
INSTANTIATE_TEST_SUITE_P(Ragged, CascadedKernel,
                         ::testing::Values(CascadeShape{1, 1, 1, {1}, {1}, {1}, 1},
                                           CascadeShape{2, 1, 7, {2, 1}, {3, 2}, {3, 5}, 3},
                                           CascadeShape{3, 7, 7, {16, 16, 9}, {16, 13, 16}, {7, 5, 3}, 16},
                                           CascadeShape{1, 4, 4, {33, 48}, {16, 7}, {3, 3}, 95},
                                           CascadeShape{2, 3, 11, {7, 7}, {4, 4}, {7, 3}, 7},
                                           CascadeShape{1, 5, 19, {6, 5}, {8, 1}, {3, 9}, 33}));

TEST(CascadedAttention, ComputesTheSameOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const Cascade c({7, 7, 7, {16, 16}, {16, 16}, {5, 3}, 16});
  at::set_num_threads(1);
  const at::Tensor alone = cascaded_attention(c.input, c.weights(), 0.25);
  at::set_num_threads(3);
  const at::Tensor shared = cascaded_attention(c.input, c.weights(), 0.25);
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(shared, alone));
}

TEST(CascadedAttention, EveryHeadReadsWhatTheOneBeforeGave) {
  const Cascade c;
  const at::Tensor got = cascaded_attention(c.input, c.weights(), 0.4);
  at::Tensor before;
  std::int64_t read = 0, given = 0;
  for (std::size_t h = 0; h < 3; ++h) {
    const std::int64_t width = c.qkv[h].size(1), K = c.depthwise[h].size(0);
    at::Tensor x = c.input.slice(1, read, read + width);
    if (h > 0) x = x.add(before);
    const at::Tensor y =
        at::einsum("oc,bchw->bohw", {c.qkv[h].flatten(1), x}).add(c.qkv_bias[h].view({-1, 1, 1}));
    const at::Tensor q = at::conv2d(y.slice(1, 0, K), c.depthwise[h], c.depthwise_bias[h], 1,
                                    c.depthwise[h].size(2) / 2, 1, K)
                             .flatten(2),
                     k = y.slice(1, K, 2 * K).flatten(2), v = y.slice(1, 2 * K).flatten(2);
    const at::Tensor weights = at::softmax(
        at::einsum("bkn,bkm->bnm", {q, k}).mul(0.4).add(c.bias[static_cast<std::int64_t>(h)]), -1);
    before = at::einsum("bnm,bem->ben", {weights, v}).view({3, v.size(1), 4, 5});
    expect_near(got.slice(1, given, given + v.size(1)), before);
    read += width, given += v.size(1);
  }
  EXPECT_EQ(got.size(1), given);
}

TEST(CascadedAttention, RefusesHeadsThatDoNotFitAndFollowsGradients) {
  Cascade c;
  expect_gradients(
      [&](const Tensors& t) {
        Tensors rest;
        for (const Tensors* list : {&c.qkv, &c.qkv_bias, &c.depthwise, &c.depthwise_bias})
          for (const at::Tensor& w : *list) rest.push_back(w.to(at::kDouble));
        const auto part = [&](std::size_t k) { return at::TensorList(rest).slice(3 * k, 3); };
        return cascaded_attention(t[0], {part(0), part(1), part(2), part(3), t[1]}, 0.4);
      },
      {c.input, c.bias});
  EXPECT_ANY_THROW(cascaded_attention(c.input.slice(1, 1), c.weights(), 0.4));
  EXPECT_ANY_THROW(cascaded_attention(c.input.slice(2, 1), c.weights(), 0.4));
  c.depthwise_bias.pop_back();
  EXPECT_ANY_THROW(cascaded_attention(c.input, c.weights(), 0.4));
}

// All three ----------------------------------------------------------------------------------------------------

TEST(AttentionOperators, SayTheirFormWithoutComputing) {
  const auto meta = [](const at::Tensor& t) { return t.to(at::kMeta); };
  const FocusedInputs x({2, 5, 6, 2, 3, 4, 3});
  EXPECT_EQ(focused_attention(meta(x.q), meta(x.k), meta(x.v), meta(x.gain), x.options).sizes(),
            at::IntArrayRef({2, 5, 8}));
  const Heads h;
  EXPECT_EQ(masked_attention(meta(h.q), meta(h.k), meta(h.v), at::ones({5}, at::kMeta)).sizes(),
            at::IntArrayRef({2, 5, 7, 3}));
  const Cascade c;
  EXPECT_EQ(cascaded_attention(meta(c.input), c.weights(), 0.4).sizes(), at::IntArrayRef({3, 14, 4, 5}));
}

OneOperator focused_operator() {
  OneOperator one({2, 7, 6});
  one.finish("pollard.focused_linear_attention.default",
             {{"q", one.x},
              {"k", one.weight("k", at::randn({2, 5, 6}))},
              {"v", one.weight("v", at::randn({2, 5, 8}))},
              {"gain", one.weight("gain", at::rand({6}) + 0.5)},
              {"heads", std::int64_t{2}},
              {"factor", std::int64_t{3}}},
             {2, 7, 8});
  return one;
}

TEST(AttentionOperators, AreWrittenOutForExporters) {
  const OneOperator focused = focused_operator();
  EXPECT_TRUE(all_aten(focused.lowered({"fuse-focused-attention"})));
  EXPECT_EQ(targets(focused.lowered({"constants"})), Targets{"pollard.focused_linear_attention.default"});

  OneOperator masked({2, 3, 7, 4});
  masked.finish("pollard.masked_attention.default",
                {{"query", masked.x},
                 {"key", masked.weight("k", at::randn({2, 3, 5, 4}))},
                 {"value", masked.weight("v", at::randn({2, 3, 5, 6}))},
                 {"gate", masked.weight("gate", at::tensor({0.0, 1.0, 0.5}, at::kFloat))}},
                {2, 3, 7, 6});
  EXPECT_TRUE(all_aten(masked.lowered({"fuse-attention"})));

  const Cascade c;
  OneOperator cascaded({3, 12, 4, 5});
  cascaded.finish("pollard.cascaded_group_attention.default",
                  {{"input", cascaded.x},
                   {"qkv", cascaded.weight_list("qkv", c.qkv)},
                   {"qkv_bias", cascaded.weight_list("qkv_bias", c.qkv_bias)},
                   {"depthwise", cascaded.weight_list("depthwise", c.depthwise)},
                   {"depthwise_bias", cascaded.weight_list("depthwise_bias", c.depthwise_bias)},
                   {"bias", cascaded.weight("bias", c.bias)},
                   {"scale", 0.4}},
                  {3, 14, 4, 5});
  const Lowered plain = cascaded.lowered({"fuse-cascaded-attention", "pack-convolutions"});
  EXPECT_TRUE(all_aten(plain));
  const auto on_cuda = [](const graph::Program& program, const Weights& weights) {
    return targets(lower(program, weights, {.device = at::kCUDA}));
  };
  const Targets one_call{"pollard.cascaded_group_attention.default"};
  EXPECT_EQ(on_cuda(plain.program, plain.weights), one_call);
  EXPECT_EQ(on_cuda(cascaded.b.program, cascaded.weights), one_call);
  EXPECT_EQ(targets(cascaded.lowered({})), one_call);
}

TEST(AttentionOperators, ForACudaDeviceFocusedAttentionIsFoundAndWhatHasAKernelStays) {
  const OneOperator one = focused_operator();
  const Lowered plain = one.lowered({"fuse-focused-attention", "constants"});
  ASSERT_TRUE(all_aten(plain));
  const Lowered found = lower(plain.program, plain.weights, {.without = {"constants"}, .device = at::kCUDA});
  EXPECT_EQ(targets(found), Targets{"pollard.focused_linear_attention.default"});
  expect_near(Executor(found.program).run(found.weights, {one.input}).at(0),
              Executor(one.b.program).run(one.weights, {one.input}).at(0));
  const Lowered kept = lower(one.b.program, one.weights, {.device = at::kCUDA});
  EXPECT_EQ(targets(kept), Targets{"pollard.focused_linear_attention.default"});
  EXPECT_TRUE(kept.applied.empty());
}

/// With every argument, and without a gate the operator is attention itself.
TEST(AttentionOperators, AttentionRunsInOneCall) {
  for (const bool causal : {false, true})
    for (const bool masked : {false, true}) {
      if (causal && masked) continue;
      OneOperator one({2, 3, 7, 4});
      one.finish("aten.scaled_dot_product_attention.default",
                 {{"query", one.x},
                  {"key", one.weight("k", at::randn({2, 3, 7, 4}))},
                  {"value", one.weight("v", at::randn({2, 3, 7, 6}))},
                  {"attn_mask", masked ? one.weight("mask", at::randn({7, 7})) : Arg()},
                  {"dropout_p", 0.0},
                  {"is_causal", causal},
                  {"scale", masked ? Arg(0.3) : Arg()}},
                 {2, 3, 7, 6});
      const Lowered fused = one.lowered({});
      ASSERT_EQ(targets(fused), Targets{"pollard.masked_attention.default"});
      const Lowered again = lower(fused.program, fused.weights, {.without = {"fuse-attention"}});
      EXPECT_EQ(targets(again), Targets{"aten.scaled_dot_product_attention.default"});
    }
}

TEST(AttentionOperators, AttentionOfGroupedHeadsStays) {
  OneOperator one({2, 4, 7, 4});
  one.finish("aten.scaled_dot_product_attention.default",
             {{"query", one.x},
              {"key", one.weight("k", at::randn({2, 2, 7, 4}))},
              {"value", one.weight("v", at::randn({2, 2, 7, 6}))},
              {"enable_gqa", true}},
             {2, 4, 7, 6});
  EXPECT_EQ(targets(one.lowered({})), Targets{"aten.scaled_dot_product_attention.default"});
}

/// The networks divide by softplus(scale), a constant of a lowered program.
TEST(AttentionOperators, FocusedAttentionIsFoundWhereNetworksDivideByTheScale) {
  const OneOperator one = focused_operator();
  Lowered plain = one.lowered({"fuse-focused-attention", "constants"});
  for (graph::Op& op : plain.program.ops)
    if (op.target == "aten.mul.Tensor" && op.tensor("other") &&
        plain.program[*op.tensor("other")].name == "w_gain")
      op.target = "aten.div.Tensor";
  plain.weights["gain"] = plain.weights.at("gain").reciprocal();
  const Lowered found = lower(plain.program, plain.weights, {.without = {"constants"}});
  ASSERT_EQ(targets(found), Targets{"pollard.focused_linear_attention.default"});
  expect_near(Executor(found.program).run(found.weights, {one.input}).at(0),
              Executor(one.b.program).run(one.weights, {one.input}).at(0));
}

}  // namespace
}  // namespace pollard::kernels
