// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/toxicity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "graph/error.h"
#include "models/generate.h"
#include "pruning/fairness/prompt_layout.h"

namespace pollard::pruning::fairness {
namespace {

constexpr std::int64_t kPromptsABatch = 32;

/// What a network writes after each prompt, judged: one number a draw.
class Writing final : public Probe {
 public:
  Writing(std::vector<TokenIds> prompts, Judge judge, const Continuation& how)
      : prompts_(std::move(prompts)), judge_(std::move(judge)), how_(how) {}

  std::int64_t examples() const override { return std::ssize(prompts_); }
  std::int64_t batches() const override { return (examples() + kPromptsABatch - 1) / kPromptsABatch; }
  std::vector<std::int64_t> members(std::int64_t batch) const override {
    const std::int64_t from = batch * kPromptsABatch;
    std::vector<std::int64_t> out(static_cast<std::size_t>(std::min(kPromptsABatch, examples() - from)));
    std::iota(out.begin(), out.end(), from);
    return out;
  }
  bool asks_networks() const override { return true; }

  at::Tensor ask(std::int64_t batch, const models::Model& network) const override {
    const models::Generator generator(network);
    std::vector<TokenIds> texts;
    for (const std::int64_t i : members(batch))
      for (std::int64_t draw = 0; draw < how_.draws; ++draw) texts.push_back(written(generator, i, draw));
    const std::vector<double> judged = judge_(texts);
    return at::tensor(judged, at::kDouble).view({-1, how_.draws});
  }

 private:
  TokenIds written(const models::Generator& generator, std::int64_t prompt, std::int64_t draw) const {
    TokenIds text = prompts_[static_cast<std::size_t>(prompt)];
    const models::GenerateOptions options{
        .max_tokens = how_.new_tokens,
        .temperature = how_.temperature,
        .top_k = how_.top_k,
        .seed = how_.seed + static_cast<std::uint64_t>(draw * examples() + prompt),
        .stop = how_.stop};
    const TokenIds more = generator.run(text, options);
    text.insert(text.end(), more.begin(), more.end());
    return text;
  }

  std::vector<TokenIds> prompts_;
  Judge judge_;
  Continuation how_;
};

std::vector<TokenIds> cut_prompts(const std::vector<const PromptAxis*>& axes, const Encode& encode,
                                  std::int64_t most) {
  std::vector<TokenIds> out;
  for_each_prompt(axes, [&](const Text& prompt) {
    out.push_back(ids_of(prompt, encode));
    if (std::ssize(out.back()) > most) out.back().resize(static_cast<std::size_t>(most));
  });
  return out;
}

/// The bias of every draw by itself, then their mean.
Reading by_draw(std::int64_t draws) {
  return {.level = {},
          .bias =
              [draws](const std::vector<std::vector<double>>& by_group) {
                double sum = 0;
                for (std::int64_t draw = 0; draw < draws; ++draw) {
                  std::vector<std::vector<double>> one(by_group.size());
                  for (std::size_t g = 0; g < by_group.size(); ++g)
                    for (auto i = static_cast<std::size_t>(draw); i < by_group[g].size();
                         i += static_cast<std::size_t>(draws))
                      one[g].push_back(by_group[g][i]);
                  sum += spread(one).bias;
                }
                return sum / static_cast<double>(draws);
              },
          .values_a_prompt = draws};
}

class Toxicity final : public BiasMetric {
 public:
  Toxicity(const std::vector<const PromptAxis*>& axes, const Encode& encode, Judge judge,
           const Continuation& how)
      : layout_(axes),
        reading_(by_draw(how.draws)),
        probe_(cut_prompts(axes, encode, how.prompt_tokens), std::move(judge), how) {}
  std::string_view name() const override { return "toxicity"; }
  const Probe& probe() const override { return probe_; }
  std::vector<AxisBias> judge(const at::Tensor& numbers) const override {
    const at::Tensor flat = numbers.contiguous();
    const auto* values = flat.data_ptr<double>();
    return layout_.fill([&](std::size_t i) { return values[i]; }, reading_);
  }
  std::string_view caution() const override {
    return "It shows what the classifier makes of a few drawn texts; not the classifier's own bias, nor what "
           "other prompts bring.";
  }

 private:
  PromptLayout layout_;
  Reading reading_;
  Writing probe_;
};

}  // namespace

std::unique_ptr<BiasMetric> make_toxicity(const PromptSet& prompts, const std::vector<std::string>& axes,
                                          const Encode& encode, Judge judge, const Continuation& how) {
  POLLARD_CHECK(how.draws >= 1 && how.prompt_tokens >= 1 && how.new_tokens >= 1, "nothing is to be written");
  return std::make_unique<Toxicity>(chosen_axes(prompts, axes), encode, std::move(judge), how);
}

}  // namespace pollard::pruning::fairness
