// SPDX-License-Identifier: Apache-2.0
// Heads silenced in a running network: against the golden of the offline metric, and against runs that share nothing.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/golden_fill.h"
#include "models/registry.h"
#include "pruning/fairness/metrics.h"
#include "pruning/fairness/program_tail.h"
#include "tests/paths.h"

namespace pollard::pruning::fairness {
namespace {

using nlohmann::json;

models::Model filled(const std::string& family, const std::string& spec) {
  models::Model model = models::fresh_model(*models::find_family(family), spec, 0);
  for (const graph::Input& input : model.program.inputs)
    if (input.kind == graph::Input::Kind::Parameter)
      model.weights.at(input.source) =
          models::golden_parameter(input.source, model.weights.at(input.source).sizes());
  return model;
}

/// The golden was run in single precision: a log-probability of 5 is known to about 3e-7, a mean risk to 1e-8.
constexpr double kSingle = 1e-7;

class OfflineMetric : public ::testing::Test {
 protected:
  const json golden = json::parse(std::ifstream(test::data_folder() + "/golden/fasp_offline_metric.json"));
  const models::Model model = filled("gpt2", golden.at("config").dump());
  const graph::Dependencies dependencies = graph::analyse(model.program);
  const PromptSet prompts = parse_prompts(
      json{{"axes", {{"all", golden.at("prompts")}}},
           {"attributes", {{"negative", golden.at("negative")}, {"positive", golden.at("positive")}}}}
          .dump(),
      "golden");
};

TEST_F(OfflineMetric, IsTheGoldensWithAndWithoutEachHead) {
  const auto metric = make_bias_metric("attribute", model.program, prompts, {}, {});
  const Knockout knockout(model, dependencies, attention_heads(dependencies), at::kDouble);
  const auto after = golden.at("bias_after_knockout").get<std::vector<double>>();
  ASSERT_EQ(knockout.units().size(), after.size());
  const at::Tensor numbers = measure(knockout, metric->probe());
  const AxisBias whole = metric->judge(numbers[0]).front();
  const json& base = golden.at("base");
  EXPECT_NEAR(whole.bias, base.at("bias").get<double>(), kSingle);
  const Spread risks = spread(whole.values);
  EXPECT_NEAR(risks.mean, base.at("risk_all").get<double>(), kSingle);
  for (std::size_t g = 0; g < whole.groups.size(); ++g) {
    EXPECT_NEAR(risks.group_means[g], base.at("risk_mean").at(whole.groups[g]).get<double>(), kSingle);
    const auto delta = base.at("delta").at(whole.groups[g]).get<std::vector<double>>();
    ASSERT_EQ(delta.size(), whole.values[g].size());
    for (std::size_t i = 0; i < delta.size(); ++i)
      EXPECT_NEAR(whole.values[g][i], 1 / (1 + std::exp(-delta[i])), kSingle);
  }
  for (std::size_t i = 0; i < after.size(); ++i)
    EXPECT_NEAR(metric->judge(numbers[static_cast<std::int64_t>(i) + 1]).front().bias, after[i], kSingle)
        << i;
}

TEST_F(OfflineMetric, LikelihoodsOfThePromptsAreTheGoldens) {
  const auto metric = make_bias_metric("descriptor", model.program, prompts, {"all"}, {});
  const AxisBias axis = metric->judge(measure(model, metric->probe(), at::kDouble)).front();
  for (std::size_t g = 0; g < axis.groups.size(); ++g)
    EXPECT_NEAR(spread({axis.values[g]}).mean,
                golden.at("base").at("nll_mean").at(axis.groups[g]).get<double>(), 10 * kSingle);
}

struct Case {
  const char* family;
  std::size_t spec;
};

class Sharing : public ::testing::TestWithParam<Case> {};

// The prefix is run once, the last layer only where it is read: the numbers stay those of whole masked runs.
TEST_P(Sharing, GivesTheNumbersOfWholeRuns) {
  const models::Family& family = *models::find_family(GetParam().family);
  const models::Model model = filled(family.name, family.small_specs.at(GetParam().spec));
  const graph::Dependencies d = graph::analyse(model.program);
  std::vector<Unit> units = attention_heads(d);
  ASSERT_FALSE(units.empty());
  // Every third unit of everything else that can go, renormalised groups too.
  const std::vector<Unit> all = units_matching(model, d, {"*"});
  for (std::size_t i = 0; i < all.size(); i += 37) units.push_back(all[i]);
  const Knockout knockout(model, d, units, at::kDouble);
  std::vector<Scored> sequences;
  for (std::int64_t i = 0; i < 5; ++i) {
    const at::Tensor ids = models::golden_ids("s" + std::to_string(i), {6 + i % 3}, 90);
    sequences.push_back(
        {.ids = {ids.data_ptr<std::int64_t>(), ids.data_ptr<std::int64_t>() + ids.numel()}, .first = 1 + i});
  }
  const auto probe = likelihood_probe(model.program, sequences, 16);
  ASSERT_GT(probe->batches(), 1);
  const at::Tensor shared = measure(knockout, *probe), naive = measure(knockout, *probe, {.naive = true});
  EXPECT_LT((shared - naive).abs().max().item<double>(), 1e-12);
  const at::Tensor change = (shared.narrow(0, 1, shared.size(0) - 1) - shared[0]).abs().amax({1, 2});
  EXPECT_GT(change.min().item<double>(), 0) << "some unit was not silenced";
}

INSTANTIATE_TEST_SUITE_P(Decoders, Sharing,
                         ::testing::Values(Case{"gpt2", 0}, Case{"gpt_neo", 0}, Case{"gptj", 0},
                                           Case{"llama", 0}),
                         [](const auto& test) { return std::string(test.param.family); });

// A head's queries, keys, values and attention are computed apart from the others': only what follows runs again.
TEST(ProgramTail, OfAHeadBeginsBehindItsAttention) {
  const models::Family& family = *models::find_family("gpt2");
  const models::Model model = filled(family.name, family.small_specs.at(0));
  const graph::Dependencies d = graph::analyse(model.program);
  const std::vector<graph::Op>& ops = model.program.ops;
  const auto attention = std::ranges::find_if(
      ops, [](const graph::Op& op) { return op.base_name().starts_with("scaled_dot_product"); });
  const std::size_t first =
      first_mixing_op(model.program, d, removal_of(d, std::vector{attention_heads(d)[0]}));
  EXPECT_GT(first, static_cast<std::size_t>(attention - ops.begin()));
  EXPECT_LT(first, ops.size() / 2);  // of two layers
}

TEST_F(OfflineMetric, GoesOnFromItsState) {
  const auto metric = make_bias_metric("attribute", model.program, prompts, {}, {});
  const Knockout knockout(model, dependencies, attention_heads(dependencies), at::kDouble);
  const auto probe = likelihood_probe(
      model.program,
      {{.ids = {1, 2, 3}, .first = 1}, {.ids = {4, 5, 6, 7}, .first = 2}, {.ids = {8, 9}, .first = 1}}, 4);
  const std::string file = testing::TempDir() + "fairness_state.safetensors";
  std::filesystem::remove(file);
  std::int64_t runs = 0;
  ProbeOptions options{.progress =
                           [&](std::int64_t, std::int64_t total) {
                             if (++runs * 2 > total) throw std::runtime_error("cut short");
                           },
                       .state = file,
                       .fingerprint = "a"};
  EXPECT_THROW(measure(knockout, *probe, options), std::runtime_error);
  runs = -1000;
  const at::Tensor resumed = measure(knockout, *probe, options);
  EXPECT_LT(runs + 1000, 3 * 13);  // the first batch came from the file
  EXPECT_TRUE(resumed.equal(measure(knockout, *probe)));
  options.fingerprint = "b";
  EXPECT_THROW(measure(knockout, *probe, options), UserError);
  std::filesystem::remove(file);
}

// What three processes measure each for themselves is, summed, what one measures: bit for bit.
TEST_F(OfflineMetric, IsSharedAmongProcessesByUnit) {
  const auto probe =
      likelihood_probe(model.program, {{.ids = {1, 2, 3}, .first = 1}, {.ids = {4, 5}, .first = 1}}, 3);
  const Knockout knockout(model, dependencies, attention_heads(dependencies));
  const at::Tensor alone = measure(knockout, *probe);
  at::Tensor sum = at::zeros_like(alone);
  std::int64_t runs = 0, added = 0;
  for (std::int64_t rank = 0; rank < 3; ++rank)
    measure(knockout, *probe,
            {.progress = [&](std::int64_t, std::int64_t) { ++runs; },
             .share = {.index = rank, .of = 3, .add = [&](at::Tensor& part) {
                         sum += part;
                         ++added;
                       }}});
  EXPECT_EQ(added, 3);
  EXPECT_TRUE(sum.equal(alone));
  EXPECT_EQ(runs, probe->batches() * (std::ssize(knockout.units()) + 3));  // each runs the whole network too
}

TEST_F(OfflineMetric, PerplexityReadsEveryTokenOnceUnlessPublished) {
  const at::Tensor ids = models::golden_ids("text", {50}, 97);
  const TokenIds text(ids.data_ptr<std::int64_t>(), ids.data_ptr<std::int64_t>() + 50);
  const auto perplexity = [&](const Windows& w) {
    const auto metric = make_perplexity(model.program, text, w);
    const at::Tensor numbers = measure(model, metric->probe(), at::kDouble);
    return metric->judge(numbers, numbers);
  };
  // One window over everything is the plain definition.
  const auto whole = likelihood_probe(model.program, {{.ids = text, .first = 1}});
  const double sum = measure(model, *whole, at::kDouble).item<double>();
  EXPECT_NEAR(perplexity({.window = 50, .stride = 50}), std::exp(-sum / 49), 1e-9);
  EXPECT_EQ(make_perplexity(model.program, text, {.window = 16, .stride = 8})->probe().examples(), 6);
  // Published: windows of 8 every 16: half the text, eight tokens a window of which seven are predicted.
  const Windows published{.window = 8, .stride = 16, .published = true};
  EXPECT_EQ(make_perplexity(model.program, text, published)->probe().examples(), 4);
  EXPECT_EQ(std::round(perplexity(published) * 1000), perplexity(published) * 1000);
  EXPECT_THROW(make_perplexity(model.program, text, {.window = 8, .stride = 16}), UserError);
  EXPECT_EQ(Windows::as_published(1024).window, 256);
  EXPECT_EQ(Windows::as_published(4096).window, 1024);
}

TEST(Association, OfAnEncoderFollowsItsDefinition) {
  const models::Family& family = *models::find_family("bert");
  const models::Model model = filled("bert", family.small_specs.at(0));
  const PromptSet prompts = parse_prompts(
      R"({"attributes": {"negative": [[5, 6, 7]], "positive": [[8, 9], [10, 11]]},
          "axes": {"x": {"a": [[12, 13, 14], [15, 16]], "b": [[17, 18]]}}})",
      "p");
  const auto metric = make_bias_metric("association", model.program, prompts, {}, {});
  const at::Tensor e = measure(model, metric->probe(), at::kDouble);  // negative, positives, prompts
  EXPECT_LT((e.norm(2, {1}) - 1).abs().max().item<double>(), 1e-9);
  const auto s = [&](std::int64_t i) {
    return (e[i].dot(e[0]) - (e[i].dot(e[1]) + e[i].dot(e[2])) / 2).item<double>();
  };
  const AxisBias axis = metric->judge(e).front();
  EXPECT_NEAR(axis.bias, spread({{s(3), s(4)}, {s(5)}}).bias, 1e-12);
  const auto shift = make_embedding_shift(model.program, {{5, 6}, {7, 8, 9}});
  const at::Tensor f = measure(model, shift->probe(), at::kDouble);
  EXPECT_NEAR(shift->judge(f, f), 0, 1e-12);
  EXPECT_GT(shift->judge(f.flip(0), f), 0);
}

TEST(Metrics, SayWhatThePromptsLack) {
  const models::Model model = filled("gpt2", models::find_family("gpt2")->small_specs.at(0));
  const PromptSet bare = parse_prompts(R"({"axes": {"x": {"a": [[1, 2]], "b": ["text"]}}})", "p");
  for (const std::string& name : bias_metric_names())
    EXPECT_THROW(make_bias_metric(name, model.program, bare, {}, {}), UserError) << name;
  EXPECT_THROW(make_bias_metric("charm", model.program, bare, {}, {}), UserError);
}

}  // namespace
}  // namespace pollard::pruning::fairness
