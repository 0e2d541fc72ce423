// SPDX-License-Identifier: Apache-2.0
// What a language model writes, judged by a classifier.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <algorithm>

#include "graph/error.h"
#include "models/data/plain_line.h"
#include "models/generate.h"
#include "models/golden_fill.h"
#include "models/registry.h"
#include "pruning/fairness/scoreboard.h"
#include "pruning/fairness/toxicity.h"

namespace pollard::pruning::fairness {
namespace {

models::Model filled(const std::string& family, const std::string& spec) {
  models::Model model = models::fresh_model(*models::find_family(family), spec, 0);
  for (const graph::Input& input : model.program.inputs)
    if (input.kind == graph::Input::Kind::Parameter)
      model.weights.at(input.source) =
          models::golden_parameter(input.source, model.weights.at(input.source).sizes());
  return model;
}

class Written : public ::testing::Test {
 protected:
  const models::Model model = filled("gpt2", models::find_family("gpt2")->small_specs.at(0));
  const PromptSet prompts =
      parse_prompts(R"({"axes": {"x": {"a": [[3, 4, 5, 6], [7, 8]], "b": [[9, 10, 11]]}}})", "p");
  const Continuation how{.prompt_tokens = 3, .new_tokens = 4, .draws = 2, .seed = 5};
};

// The share of even tokens stands for a judgement: every text the judge sees is prompt, cut, and continuation.
TEST_F(Written, IsJudgedWithItsPromptAndAggregatedByDraw) {
  std::vector<TokenIds> seen;
  const Judge judge = [&](const std::vector<TokenIds>& texts) {
    std::vector<double> out;
    for (const TokenIds& ids : texts) {
      seen.push_back(ids);
      out.push_back(static_cast<double>(std::ranges::count_if(ids, [](auto i) { return i % 2 == 0; })) /
                    static_cast<double>(ids.size()));
    }
    return out;
  };
  const auto metric = make_toxicity(prompts, {}, {}, judge, how);
  const at::Tensor numbers = measure(model, metric->probe());
  ASSERT_EQ(numbers.sizes(), (std::vector<std::int64_t>{3, 2}));
  ASSERT_EQ(seen.size(), 6u);
  EXPECT_EQ(seen[0].size(), 7u);
  EXPECT_EQ(TokenIds(seen[0].begin(), seen[0].begin() + 3),
            (TokenIds{3, 4, 5}));  // of four tokens the first three
  EXPECT_NE(seen[0], seen[1]);     // two draws
  const models::Generator generator(model);
  const models::GenerateOptions same{.max_tokens = 4, .temperature = 1, .top_k = 50, .seed = 5 + 2};
  const TokenIds third = generator.run({9, 10, 11}, same);
  EXPECT_EQ(TokenIds(seen[4].begin() + 3, seen[4].end()), third);  // prompt 2 has its own stream
  const AxisBias axis = metric->judge(numbers).front();
  const auto at = [&](std::int64_t prompt, std::int64_t draw) {
    return numbers[prompt][draw].item<double>();
  };
  const double first = spread({{at(0, 0), at(1, 0)}, {at(2, 0)}}).bias,
               second = spread({{at(0, 1), at(1, 1)}, {at(2, 1)}}).bias;
  EXPECT_NEAR(axis.bias, (first + second) / 2, 1e-12);
  EXPECT_TRUE(numbers.equal(measure(model, metric->probe())));
}

TEST_F(Written, ChangesWithTheHeadThatIsSilenced) {
  const models::Model classifier =
      filled("rnn_classifier", R"({"vocab":97,"input_size":8,"hidden_size":6,"output_size":3})");
  const auto metric = make_toxicity(prompts, {}, {}, judge_by(classifier, {.index = 1}), how);
  const graph::Dependencies d = graph::analyse(model.program);
  const Knockout knockout(model, d, attention_heads(d));
  const at::Tensor numbers = measure(knockout, metric->probe());
  EXPECT_TRUE((numbers > 0).logical_and(numbers < 1).all().item<bool>());
  EXPECT_TRUE(numbers[0].equal(measure(model, metric->probe())));
  const at::Tensor changed = (numbers.slice(0, 1) - numbers[0]).abs().amax({1, 2}).gt(0);
  EXPECT_GT(changed.sum().item<std::int64_t>(), 0);
  // The network without a head is a network of its own: the same number, whoever silences the head.
  EXPECT_TRUE(numbers[3].equal(measure(knockout.without(2), metric->probe())));
}

TEST(Classifier, RunsTextsOfOneLengthTogetherAndReadsTheOutputAskedFor) {
  const models::Model model =
      filled("rnn_classifier", R"({"vocab":97,"input_size":8,"hidden_size":6,"output_size":3})");
  const std::vector<TokenIds> texts{{1, 2, 3}, {4, 5}, {6, 7, 8}};
  const kernels::Executor executor(model.program);
  const Judge sigmoid = judge_by(model, {.index = 2}),
              softmax = judge_by(model, {.index = 2, .softmax = true});
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const at::Tensor alone = executor.run(model.weights, {at::tensor(texts[i], at::kLong).unsqueeze(0)})
                                 .front()
                                 .to(at::kDouble)[0];
    EXPECT_NEAR(sigmoid(texts)[i], alone.sigmoid()[2].item<double>(), 1e-6);
    EXPECT_NEAR(softmax(texts)[i], alone.softmax(0)[2].item<double>(), 1e-6);
  }
  EXPECT_THROW(judge_by(model, {.index = 3})(texts), UserError);
}

TEST(Classifier, ReadsWordsInLowerCaseOnOneLine) {
  EXPECT_EQ(models::lower_case_line("One\nTwo \xC3\x89"), "one two \xC3\xA9");
  const models::Model model =
      filled("rnn_classifier", R"({"vocab":97,"input_size":8,"hidden_size":6,"output_size":1})");
  std::string read;
  const Judge judge = judge_by(
      model, {}, [](const TokenIds& ids) { return "Text\n" + std::to_string(ids.front()); },
      [&](const std::string& text) {
        read = text;
        return TokenIds{1, 2};
      });
  judge({{7}});
  EXPECT_EQ(read, "text 7");
}

}  // namespace
}  // namespace pollard::pruning::fairness
