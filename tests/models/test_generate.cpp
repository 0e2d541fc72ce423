// SPDX-License-Identifier: Apache-2.0
#include "models/generate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "graph/error.h"
#include "models/golden_fill.h"
#include "models/registry.h"
#include "tests/paths.h"

namespace pollard::models {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::int64_t>;

Json read(const std::string& path) { return Json::parse(std::ifstream(test::data_folder() + path)); }

/// The network of a golden, with its weights.
Model golden_model(const std::string& name) {
  const Json golden = read("/golden/" + name + ".json");
  kernels::Weights weights;
  for (const auto& [key, shape] : golden.at("keys").items())
    weights.emplace(key, golden_parameter(key, shape.get<std::vector<std::int64_t>>()));
  return load_family(weights, {}, golden.at("config").dump());
}

const Ids kPrompt{11, 4, 90, 7, 7, 23, 60, 1};

class Generation : public testing::TestWithParam<const char*> {
 protected:
  Model model = golden_model(GetParam());
};

TEST_P(Generation, GreedyTokensAreThoseOfTransformers) {
  const Generator generator(model);
  for (const Json& item : read("/models/data/generation.json").at(GetParam())) {
    const Ids expected = item.at("tokens");
    GenerateOptions options{.max_tokens = std::ssize(expected)};
    EXPECT_EQ(generator.run(item.at("prompt"), options), expected);
    options.cache = false;
    EXPECT_EQ(generator.run(item.at("prompt"), options), expected);
  }
}

TEST_P(Generation, TokenByTokenGivesTheLogitsOfTheWhole) {
  const Generator generator(model);
  const at::Tensor expected = generator.whole(kPrompt);
  for (const std::size_t first : {1UL, 3UL, kPrompt.size()}) {
    std::vector<at::Tensor> past;
    at::Tensor got =
        generator.step({kPrompt.begin(), kPrompt.begin() + static_cast<std::ptrdiff_t>(first)}, past);
    EXPECT_TRUE(at::allclose(got, expected.narrow(1, 0, got.size(1)), 1e-4, 1e-5)) << first;
    for (std::size_t at = first; at < kPrompt.size(); ++at) {
      got = generator.step({kPrompt[at]}, past);
      EXPECT_TRUE(at::allclose(got.squeeze(1), expected.select(1, static_cast<std::int64_t>(at)), 1e-4, 1e-5))
          << at;
    }
    EXPECT_EQ(past.front().size(2), std::ssize(kPrompt));
  }
}

INSTANTIATE_TEST_SUITE_P(Of, Generation,
                         testing::Values("gpt2_tiny", "gpt_neo_tiny", "gptj_tiny", "llama_tiny",
                                         "llama_tiny_gqa"),
                         [](const auto& test) { return std::string(test.param); });

/// Every decoder family's small variants, with heads and units of several sizes: local masks, groups, tied heads.
TEST(Generate, EverySmallDecoderRunsTokenByToken) {
  for (const char* name : {"gpt2", "gpt_neo", "masformer", "gptj", "llama"})
    for (const std::string& spec : find_family(name)->small_specs) {
      const Model model = fresh_model(*find_family(name), spec, 1);
      const Generator generator(model);
      Ids prompt(9);
      std::iota(prompt.begin(), prompt.end(), 5);
      const GenerateOptions cached{.max_tokens = 8, .temperature = 1, .seed = 3};
      GenerateOptions anew = cached;
      anew.cache = false;
      EXPECT_EQ(generator.run(prompt, cached), generator.run(prompt, anew)) << name << spec;
    }
}

TEST(Generate, StopsAtStopTokensAndAtTheLongestText) {
  const Model model = golden_model("gpt2_tiny");
  const Generator generator(model);
  const Ids all = generator.run(kPrompt, {.max_tokens = 10});
  const std::int64_t stop = all.at(3);
  const auto first = static_cast<std::size_t>(std::ranges::find(all, stop) - all.begin());
  EXPECT_EQ(generator.run(kPrompt, {.max_tokens = 10, .stop = {stop}}),
            Ids(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(first)));
  const std::int64_t longest = generator.longest().value();
  const Ids full(static_cast<std::size_t>(longest) - 2, 5);
  EXPECT_EQ(generator.run(full, {.max_tokens = 10}).size(), 2U);
  Ids heard;
  generator.run(kPrompt, {.max_tokens = 10}, [&](std::int64_t token) { heard.push_back(token); });
  EXPECT_EQ(heard, all);
}

TEST(Generate, RefusesPromptsTheModelCannotTake) {
  const Model model = golden_model("gpt2_tiny");
  const Generator generator(model);
  for (const Ids& prompt : {Ids{}, Ids{-1}, Ids{1 << 20}, Ids(100'000, 1)})
    EXPECT_THROW(generator.run(prompt, {}), UserError);
}

TEST(Generate, DrawsFollowTemperatureTopKAndTopP) {
  const at::Tensor logits = at::log(at::tensor({0.1, 0.5, 0.15, 0.25}, at::kDouble));
  const auto drawn = [&](const GenerateOptions& options) {
    std::vector<std::int64_t> counts(4);
    for (int i = 0; i < 1000; ++i)
      ++counts[static_cast<std::size_t>(choose_token(logits, options, i / 1000.0))];
    return counts;
  };
  EXPECT_EQ(drawn({}), (Ids{0, 1000, 0, 0}));
  EXPECT_EQ(drawn({.temperature = 1}), (Ids{100, 500, 150, 250}));
  const Ids two = drawn({.temperature = 1, .top_k = 2});
  EXPECT_NEAR(static_cast<double>(two[1]), 666.7, 1);
  EXPECT_EQ(two[0] + two[2], 0);
  const Ids three = drawn({.temperature = 1, .top_p = 0.8});  // 0.5 + 0.25 are not enough
  EXPECT_NEAR(static_cast<double>(three[2]), 166.7, 1);
  EXPECT_EQ(three[0], 0);
  const Ids sharp = drawn({.temperature = 0.5});  // squares of the chances
  EXPECT_NEAR(static_cast<double>(sharp[1]), 1000 * 0.25 / (0.01 + 0.25 + 0.0225 + 0.0625), 1);
}

TEST(Generate, SeedsDecide) {
  const Model model = golden_model("llama_tiny");
  const Generator generator(model);
  const auto with = [&](std::uint64_t seed) {
    return generator.run(kPrompt, {.max_tokens = 12, .temperature = 1, .seed = seed});
  };
  EXPECT_EQ(with(1), with(1));
  EXPECT_NE(with(1), with(2));
}

std::string refusal(const Model& model) {
  try {
    const Generator generator(model);
  } catch (const UserError& error) {
    return error.parts().code;
  }
  return "accepted";
}

TEST(Generate, OtherNetworksAreRefused) {
  EXPECT_EQ(refusal(fresh_model(*find_family("resnet"), find_family("resnet")->small_specs.front(), 0)),
            "E0450");
  EXPECT_EQ(refusal(fresh_model(*find_family("bert"), find_family("bert")->small_specs.front(), 0)), "E0450");
  const Family& classifier = *find_family("rnn_classifier");
  EXPECT_EQ(refusal(fresh_model(classifier, classifier.small_specs.front(), 0)), "E0450");
}

/// A program whose result for a token depends on later ones may not be run token by token.
TEST(Generate, AProgramThatLooksAheadIsRefused) {
  Model model = golden_model("gpt2_tiny");
  for (graph::Op& op : model.program.ops)
    if (op.base_name() == "scaled_dot_product_attention") op.set("is_causal", false);
  EXPECT_EQ(refusal(model), "E0451");
  model = golden_model("gpt2_tiny");
  for (graph::Op& op : model.program.ops)
    if (op.base_name() == "layer_norm") {  // the order of the positions turned round
      op.target = "aten.flip.default";
      op.args = {{.name = "self", .arg = *op.find("input")},
                 {.name = "dims", .arg = graph::Arg::List{std::int64_t{1}}}};
      break;
    }
  EXPECT_EQ(refusal(model), "E0451");
}

}  // namespace
}  // namespace pollard::models
