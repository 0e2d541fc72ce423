// SPDX-License-Identifier: Apache-2.0
// From scores to smaller files: decoders lose heads by FASP and compute what their masked originals compute.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "graph/error.h"
#include "models/generate.h"
#include "models/golden_fill.h"
#include "models/registry.h"
#include "pruning/fairness/baselines.h"
#include "pruning/fairness/search.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"

namespace pollard::pruning::fairness {
namespace {

models::Model filled(const std::string& family, std::size_t spec) {
  const models::Family& f = *models::find_family(family);
  models::Model model = models::fresh_model(f, f.small_specs.at(spec), 0);
  for (const graph::Input& input : model.program.inputs)
    if (input.kind == graph::Input::Kind::Parameter)
      model.weights.at(input.source) =
          models::golden_parameter(input.source, model.weights.at(input.source).sizes());
  model.sha256 = "of " + family;
  return model;
}

const PromptSet& prompts() {
  static const PromptSet p = parse_prompts(
      R"({"attributes": {"negative": [[3, 4, 5], [6, 7]], "positive": [[8, 9], [10, 11, 12]]},
          "axes": {"x": {"a": [[13, 14], [15, 16, 17]], "b": [[18, 19]], "c": [[20, 21, 22]]},
                   "y": {"a": [[23, 24]], "b": [[25, 26], [27, 28]]}}})",
      "p");
  return p;
}

/// A decoder with everything measured once.
struct Bench {
  models::Model model;
  graph::Dependencies dependencies = graph::analyse(model.program);
  std::unique_ptr<BiasMetric> bias = make_bias_metric("attribute", model.program, prompts(), {}, {});
  std::unique_ptr<PerformanceMetric> performance =
      make_perplexity(model.program, text(), {.window = 12, .stride = 6});
  std::vector<Unit> heads = attention_heads(dependencies);
  Scoreboard board = score_units(Knockout(model, dependencies, heads), dependencies, *performance, *bias);

  static TokenIds text() {
    const at::Tensor ids = models::golden_ids("text", {60}, 90);
    return {ids.data_ptr<std::int64_t>(), ids.data_ptr<std::int64_t>() + 60};
  }
};

/// What the masked original writes, the whole text anew for every token.
TokenIds greedy(const models::Model& model, const graph::Dependencies& d, const graph::Removal& removal,
                TokenIds text, int count) {
  const kernels::Executor dense(model.program);
  const kernels::Weights masked = masked_weights(model, d, removal);
  TokenIds out;
  for (int i = 0; i < count; ++i) {
    const at::Tensor logits =
        run_masked(dense, d, removal, masked, {at::tensor(text, at::kLong).unsqueeze(0)}, at::kDouble)
            .front();
    out.push_back(logits[0][-1].argmax().item<std::int64_t>());
    text.push_back(out.back());
  }
  return out;
}

class Decoder : public ::testing::TestWithParam<std::string> {};

TEST_P(Decoder, ScoredPrunedVerifiedAndWrittenIsTheSameNetwork) {
  const Bench b{filled(GetParam(), 0)};
  ASSERT_GE(b.heads.size(), 4u);
  const Choice choice{.alpha = 0.4, .gamma = 0.2};
  const Plan plan = plan_for(b.model, b.dependencies, b.board, choose(b.board, choice), choice);
  ASSERT_FALSE(plan.empty());
  EXPECT_LT(plan.after.macs, plan.before.macs);
  const models::Model pruned = prune(b.model, b.dependencies, plan.removal);
  const Verification v = verify(b.model, pruned, b.dependencies, plan.removal, {.inputs = 2});
  EXPECT_TRUE(v.ok) << v.max_relative;
  EXPECT_LE(v.max_relative, 1e-10);
  EXPECT_GT(v.change, 0);
  const std::string file = testing::TempDir() + "fair_" + GetParam() + ".pt2";
  models::save(pruned, file, {.force = true});
  const models::Model read = models::load(file);
  const Standing before = stand(pruned, *b.performance, *b.bias),
                 after = stand(read, *b.performance, *b.bias);
  EXPECT_EQ(before.performance, after.performance);
  EXPECT_EQ(before.bias[0].bias, after.bias[0].bias);
  EXPECT_EQ(models::Generator(read).run({5, 6, 7}, {.max_tokens = 8}),
            greedy(b.model, b.dependencies, plan.removal, {5, 6, 7}, 8));
  std::filesystem::remove(file);
}

INSTANTIATE_TEST_SUITE_P(All, Decoder, ::testing::Values("gpt2", "gpt_neo", "gptj", "llama"),
                         [](const auto& test) { return test.param; });

TEST(Scoreboard, SurvivesItsJson) {
  Bench b{filled("gpt2", 0)};
  b.board.performance[0] = INFINITY;
  b.board.baselines["magnitude"] = magnitude_scores(b.model, b.dependencies, b.heads);
  const std::string json = to_json(b.board);
  const Scoreboard again = scoreboard_from_json(json, b.model, b.dependencies, "s.json");
  EXPECT_EQ(to_json(again), json);
  EXPECT_EQ(again.units, b.board.units);
  models::Model other = b.model;
  other.sha256 = "another";
  EXPECT_THROW(scoreboard_from_json(json, other, b.dependencies, "s.json"), UserError);
  EXPECT_THROW(scoreboard_from_json("{}", b.model, b.dependencies, "s.json"), UserError);
}

// Magnitude by hand for one head of GPT-2: its columns of c_attn with their biases, its rows of c_proj.
TEST(Baselines, MagnitudeIsTheNormOfAllAHeadOwns) {
  const Bench b{filled("gpt2", 1)};
  const std::vector<double> scores = magnitude_scores(b.model, b.dependencies, b.heads);
  EXPECT_EQ(std::ranges::max(scores), 1);
  const auto norm = [&](std::int64_t head) {
    double squares = 0;
    for (std::int64_t part = 0; part < 3; ++part) {
      const std::int64_t at = part * 32 + head * 16;
      squares += b.model.weights.at("transformer.h.0.attn.c_attn.weight")
                     .narrow(1, at, 16)
                     .square()
                     .sum()
                     .item<double>();
      squares += b.model.weights.at("transformer.h.0.attn.c_attn.bias")
                     .narrow(0, at, 16)
                     .square()
                     .sum()
                     .item<double>();
    }
    return std::sqrt(squares + b.model.weights.at("transformer.h.0.attn.c_proj.weight")
                                   .narrow(0, head * 16, 16)
                                   .square()
                                   .sum()
                                   .item<double>());
  };
  EXPECT_NEAR(scores[0] / scores[1], norm(0) / norm(1), 1e-6);
}

// The gradient by a mask against the difference quotient of scaling the head's output rows.
TEST(Baselines, GradientIsTheSlopeOfTheLoss) {
  const Bench b{filled("gpt2", 1)};
  ASSERT_EQ(b.heads.size(), 4u);
  Scored one{.ids = Bench::text(), .first = 1};
  one.ids.resize(30);
  const auto single = likelihood_probe(b.model.program, {one});
  const std::vector<double> scores = gradient_scores(b.model, b.dependencies, b.heads, *single, unit_loss(0));
  EXPECT_EQ(std::ranges::max(scores), 1);
  std::vector<double> slopes;
  for (std::size_t h = 0; h < 4; ++h) {
    const std::string key = "transformer.h." + std::to_string(h / 2) + ".attn.c_proj.weight";
    const auto loss = [&](double scale) {
      models::Model scaled = b.model;
      scaled.weights[key] = scaled.weights.at(key).to(at::kDouble).clone();
      scaled.weights[key].narrow(0, static_cast<std::int64_t>(h % 2) * 16, 16).mul_(scale);
      return -measure(scaled, *single, at::kDouble).item<double>();
    };
    slopes.push_back(std::abs(loss(1 + 1e-4) - loss(1 - 1e-4)) / 2e-4);
  }
  for (const std::size_t layer : {0, 2}) {
    const double norm = std::hypot(slopes[layer], slopes[layer + 1]);
    EXPECT_NEAR(scores[layer] / scores[layer + 1], slopes[layer] / slopes[layer + 1],
                1e-2 * slopes[layer] / slopes[layer + 1])
        << norm;
  }
}

TEST(Choosing, KeepsOneHeadOfEveryGroup) {
  const Bench b{filled("gpt2", 1)};
  const Choice all{.method = Method::Performance, .alpha = 1};
  const Plan plan = plan_for(b.model, b.dependencies, b.board, choose(b.board, all), all);
  EXPECT_EQ(plan.warnings.size(), 2u);  // two layers, each keeps its dearest head
  for (const auto& removed : plan.removal.removed) EXPECT_LE(removed.size(), 1u);
}

TEST(Choosing, HoldsTheFloor) {
  const Bench b{filled("gpt2", 0)};
  const Choice choice{.method = Method::Bias, .alpha = 0.6};
  const std::vector<std::int64_t> free =
      choose_within(b.model, b.dependencies, b.board, choice, *b.performance, 1e9);
  EXPECT_EQ(free, choose(b.board, choice));
  const auto performance_without = [&](const std::vector<std::int64_t>& ids) {
    const Plan plan = plan_for(b.model, b.dependencies, b.board, ids, choice);
    return stand(prune(b.model, b.dependencies, plan.removal), *b.performance, *b.bias).performance;
  };
  // A floor just above what is left after all of them: fewer go, and what is left is within it.
  const double slack = performance_without(free) / b.board.performance_whole - 1 - 1e-6;
  const std::vector<std::int64_t> held =
      choose_within(b.model, b.dependencies, b.board, choice, *b.performance, slack);
  EXPECT_LT(held.size(), free.size());
  if (!held.empty())
    EXPECT_LE(performance_without(held), b.board.performance_whole * (1 + slack) * (1 + 1e-9));
}

TEST(Choosing, GreedilyScoresAgainAfterEachRemoval) {
  const Bench b{filled("gpt2", 0)};
  const Choice choice{.alpha = 0.4, .gamma = 0.2};
  const std::vector<std::int64_t> order =
      choose_greedily(b.model, b.dependencies, b.heads, *b.performance, *b.bias, choice);
  ASSERT_EQ(order.size(), static_cast<std::size_t>(0.4 * static_cast<double>(b.heads.size())));
  EXPECT_EQ(std::set<std::int64_t>(order.begin(), order.end()).size(), order.size());
  // The first one is FASP's own; the second is FASP's on the network without it.
  Choice first = choice;
  first.alpha = 1.5 / static_cast<double>(b.heads.size());
  EXPECT_EQ(order.front(), choose(b.board, first).front());
}

TEST(Choosing, CutsAnOrderToTheFloor) {
  const Bench b{filled("gpt2", 0)};
  const std::vector<std::int64_t> order{4, 1, 0};
  const auto cut = [&](double slack) {
    return cut_to_floor(b.model, b.dependencies, b.board, order, *b.performance, slack);
  };
  EXPECT_EQ(cut(1e9), order);
  EXPECT_TRUE(cut(-0.9).empty());
}

TEST(Choosing, SeveralAxesByWeightOrByPareto) {
  const Bench b{filled("gpt2", 0)};
  ASSERT_EQ(b.board.axes.size(), 2u);
  Choice choice{.alpha = 0.4, .gamma = 0.2};
  choice.axis_weights = {1, 0};
  EXPECT_EQ(choose(b.board, choice), select_fasp(b.board.performance, b.board.bias[0], 0.4, 0.2));
  choice.axis_weights.clear();
  choice.pareto = true;
  EXPECT_EQ(choose(b.board, choice), select_pareto(b.board.performance, b.board.bias, 0.4, 0.2));
  const auto found = outcomes(b.model, b.dependencies, b.board, {choice}, *b.performance, *b.bias);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1].by_axis.size(), 2u);
}

TEST(Choosing, APlanIsReadBackByItsOneCanonicalName) {
  const Bench b{filled("gpt2", 0)};
  for (const Method method : {Method::Fasp, Method::Magnitude}) {
    const Choice choice{.method = method, .alpha = 0.4, .gamma = 0.25};
    const Plan plan = plan_for(b.model, b.dependencies, b.board, {0, 5}, choice);
    EXPECT_EQ(plan.options.criterion,
              method == Method::Fasp ? "fairness:method=fasp,gamma=0.25" : "fairness:method=magnitude");
    const std::string json = to_json(plan, b.model, b.dependencies);
    const Plan again = plan_from_json(json, b.model, b.dependencies);
    EXPECT_EQ(again.removal.removed, plan.removal.removed);
    EXPECT_EQ(again.options.criterion, plan.options.criterion);
  }
}

TEST(Choosing, JoinedBudgetsAreMetTogether) {
  const Bench b{filled("gpt2", 0)};
  const Choice choice{.alpha = 0.2, .gamma = 0.2};
  const Plan heads = plan_for(b.model, b.dependencies, b.board, choose(b.board, choice), choice);
  const Plan both = join(b.model, b.dependencies, heads, {.speedup = 1.3});
  EXPECT_LE(static_cast<double>(both.after.macs), static_cast<double>(both.before.macs) / 1.3);
  for (std::size_t g = 0; g < heads.groups.size(); ++g)
    if (!heads.groups[g].removed.empty()) EXPECT_EQ(both.groups[g].removed, heads.groups[g].removed);
  const models::Model pruned = prune(b.model, b.dependencies, both.removal);
  EXPECT_TRUE(verify(b.model, pruned, b.dependencies, both.removal, {.inputs = 2}).ok);
}

TEST(Choosing, TheFrontHoldsWhatNothingBeats) {
  EXPECT_EQ(pareto_front({{1, 2}, {2, 1}, {2, 2}, {1, 2}}), (std::vector<bool>{true, true, false, true}));
  const Bench b{filled("gpt2", 0)};
  const auto found =
      outcomes(b.model, b.dependencies, b.board, published_grid(b.board, {}, 2), *b.performance, *b.bias);
  EXPECT_EQ(found.front().removed, 0);
  EXPECT_NEAR(found.front().performance, b.board.performance_whole, 1e-4);
  EXPECT_TRUE(std::ranges::any_of(found, &Outcome::front));
  EXPECT_TRUE(std::ranges::any_of(found, [](const Outcome& o) { return o.removed > 0; }));
}

}  // namespace
}  // namespace pollard::pruning::fairness
