// SPDX-License-Identifier: Apache-2.0
// Attention replaced by feed-forward networks over the whole sequence: found by what it computes, trained, swapped in.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "graph/error.h"
#include "models/golden_fill.h"
#include "models/registry.h"
#include "pruning/attention_to_ffn.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"
#include "tests/paths.h"
#include "tests/pruning/small_bert.h"

namespace pollard::pruning {
namespace {

constexpr std::int64_t kLength = 9, kPositions = 20;  // of the samples; of the networks

/// Sentences of 4 to 9 words; inputs are ids, mask, types.
CalibrationSet sentences(std::int64_t count) {
  CalibrationSet out;
  const at::Tensor lengths = at::arange(count).remainder(6).add(4).unsqueeze(1);
  const at::Tensor mask = at::arange(kLength).lt(lengths).to(at::kLong);
  const at::Tensor ids =
      models::golden_unit("ids", {count, kLength}).mul(1e4).abs().to(at::kLong).remainder(97);
  out.inputs = {ids.mul(mask), mask, at::zeros_like(ids)};
  out.mask = mask;
  return out;
}

models::Model test_case(const std::string& name) {
  return models::load(pollard::test::data_folder() + "/cases/" + name + ".pt2");
}

std::vector<std::string> names(const AttentionLayers& found) {
  std::vector<std::string> out;
  for (const AttentionLayer& layer : found.layers) out.push_back(layer.name);
  return out;
}

TEST(AttentionLayers, AreFoundWithTheirNamesAndMask) {
  const models::Model bert = small_bert();
  const AttentionLayers found = find_attention_layers(bert, 0);
  EXPECT_EQ(names(found),
            (std::vector<std::string>{"encoder.layer.0.attention.self", "encoder.layer.1.attention.self"}));
  EXPECT_TRUE(found.left.empty());
  ASSERT_TRUE(found.layers.front().present.has_value());
  EXPECT_EQ(*tensor_input(bert.program, *found.layers.front().present), 1U);
  EXPECT_EQ(found.layers.front().heads, 4);
  EXPECT_EQ(found.layers.front().head_dim, 8);
}

TEST(AttentionLayers, AreFoundInExportedPrograms) {
  for (const char* name : {"transenc", "mha", "syn_sdpa", "hf_bert"})
    EXPECT_FALSE(find_attention_layers(test_case(name), 0).layers.empty()) << name;
}

TEST(AttentionLayers, CausalOnesStay) {
  for (const char* name : {"hf_gpt2", "hf_llama_gqa"}) {
    const AttentionLayers found = find_attention_layers(test_case(name), 0);
    EXPECT_TRUE(found.layers.empty()) << name;
    ASSERT_FALSE(found.left.empty()) << name;
    EXPECT_NE(found.left.front().find("earlier positions do not see later ones"), std::string::npos) << name;
  }
}

/// f(w) = LN -> Linear -> LeakyReLU -> LN -> Linear, written out from the weights of the file, in f64.
at::Tensor sentence_network(const kernels::Weights& weights, const std::string& name, const at::Tensor& w) {
  const auto of = [&](const char* parameter) {
    return weights.at(name + ".ff.layers." + parameter).to(at::kDouble);
  };
  const auto norm = [&](const at::Tensor& x, const char* weight, const char* bias) {
    const at::Tensor centred = x - x.mean(-1, true);
    return centred / (centred.square().mean(-1, true) + 1e-5).sqrt() * of(weight) + of(bias);
  };
  at::Tensor h = norm(w, "0.weight", "0.bias").matmul(of("1.weight").t()) + of("1.bias");
  h = at::where(h > 0, h, 0.01 * h);
  return norm(h, "3.weight", "3.bias").matmul(of("4.weight").t()) + of("4.bias");
}

TEST(AttentionToFfn, TheProgramComputesWithTheNetworks) {
  const models::Model original = small_bert();
  models::Model replaced = original;
  const AttentionLayers found = find_attention_layers(original, 0);
  const SentenceReport report =
      attention_to_ffn(replaced, sentences(24), {.size = "M", .positions = kPositions, .epochs = 1});
  ASSERT_EQ(report.layers.size(), 2U);
  EXPECT_EQ(report.layers[0].input_width, kPositions * 32);
  EXPECT_EQ(report.layers[0].hidden, kPositions * 32 / 8);

  for (const std::int64_t length : {std::int64_t{5}, kLength}) {
    CalibrationSet set = sentences(6);
    for (at::Tensor& input : set.inputs) input = input.slice(1, 0, length);
    const at::Tensor mask = set.inputs[1].to(at::kDouble).unsqueeze(-1);
    std::map<graph::ValueId, at::Tensor> read;
    kernels::RunOptions options;
    options.compute_type = at::kDouble;
    options.after_value = [&](graph::ValueId id, at::Tensor& t) {
      for (const AttentionLayer& layer : found.layers) {
        if (id == layer.x) read[id] = t;
        if (id != original.program.ops[layer.op].outputs[0]) continue;
        at::Tensor w = at::zeros({6, kPositions, 32}, at::kDouble);
        w.slice(1, 0, length).copy_(read.at(layer.x) * mask);
        const at::Tensor y = sentence_network(replaced.weights, layer.name, w.flatten(1));
        t = (y.view({6, kPositions, layer.heads * layer.head_dim}).slice(1, 0, length) * mask)
                .view({6, length, layer.heads, layer.head_dim})
                .transpose(1, 2);
      }
    };
    const auto want = kernels::Executor(original.program).run(original.weights, set.inputs, options);
    const auto got =
        kernels::Executor(replaced.program).run(replaced.weights, set.inputs, {.compute_type = at::kDouble});
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i)
      EXPECT_LT(at::norm(got[i] - want[i]).item<double>(), 1e-10 * at::norm(want[i]).item<double>())
          << length;
  }
}

TEST(AttentionToFfn, TrainingComesNearer) {
  models::Model model = small_bert();
  std::map<std::string, std::vector<double>> told;
  const SentenceReport report = attention_to_ffn(
      model, sentences(96),
      {.size = "L",
       .epochs = 30,
       .learning_rate = 1e-3,
       .progress = [&](const std::string& layer, int, double error) { told[layer].push_back(error); }});
  EXPECT_EQ(report.samples, 96);
  EXPECT_EQ(report.held_out, 10);
  EXPECT_EQ(told.size(), 2U);
  for (const SentenceLayer& layer : report.layers) {
    EXPECT_LT(layer.error, 0.6 * layer.error_before) << layer.name;
    ASSERT_EQ(told[layer.name].size(), 30U);
    EXPECT_EQ(told[layer.name].back(), layer.error);
  }
  EXPECT_GT(report.output_change, 0);
}

TEST(AttentionToFfn, WeightsOfTheAttentionLeaveAndItsProjectionStays) {
  models::Model model = small_bert();
  attention_to_ffn(model, sentences(8), {.epochs = 1, .only = {"*layer.1*"}});
  EXPECT_FALSE(model.weights.contains("encoder.layer.1.attention.self.query.weight"));
  EXPECT_TRUE(model.weights.contains("encoder.layer.1.attention.self.ff.layers.1.weight"));
  EXPECT_TRUE(model.weights.contains("encoder.layer.1.attention.output.dense.weight"));
  EXPECT_TRUE(model.weights.contains("encoder.layer.0.attention.self.query.weight"));
}

TEST(AttentionToFfn, LongerSequencesThanTheNetworksReadAreRefused) {
  models::Model model = small_bert();
  EXPECT_THROW(attention_to_ffn(model, sentences(8), {.positions = 4, .epochs = 1}), UserError);
  attention_to_ffn(model, sentences(8), {.positions = kPositions, .epochs = 1});
  std::vector<at::Tensor> longer(3, at::ones({2, kPositions + 1}, at::kLong));
  EXPECT_THROW(kernels::Executor(model.program).run(model.weights, longer), UserError);
}

TEST(AttentionToFfn, TheResultCanBePruned) {
  models::Model model = small_bert();
  attention_to_ffn(model, sentences(8), {.size = "M", .epochs = 1});
  const graph::Dependencies dependencies = graph::analyse(model.program);
  const Plan plan = make_plan(model, dependencies, {.ratio = 0.5});
  const models::Model pruned = prune(model, dependencies, plan.removal);
  EXPECT_LT(pruned.weights.at("encoder.layer.0.attention.self.ff.layers.1.weight").size(0), 16 * 32 / 8);
  const Verification v = verify(model, pruned, dependencies, plan.removal, {.inputs = 2});
  EXPECT_TRUE(v.ok) << v.max_relative;
  EXPECT_GT(v.change, 0);
}

TEST(AttentionToFfn, SizesAreThePapers) {
  EXPECT_EQ(sentence_width("XS", 6400), 25);
  EXPECT_EQ(sentence_width("S", 6400), 50);
  EXPECT_EQ(sentence_width("M", 6400), 800);
  EXPECT_EQ(sentence_width("L", 6400), 3200);
  EXPECT_EQ(sentence_width("XL", 6400), 12800);
  EXPECT_THROW(sentence_width("XXL", 6400), UserError);
}

}  // namespace
}  // namespace pollard::pruning
