// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/metrics.h"

#include <ATen/ATen.h>

#include <cmath>

#include "graph/error.h"
#include "models/io/text.h"
#include "pruning/fairness/prompt_layout.h"

namespace pollard::pruning::fairness {
namespace {

Scored continued(const TokenIds& prompt, const TokenIds& continuation) {
  Scored out{.ids = prompt, .first = std::ssize(prompt)};
  out.ids.insert(out.ids.end(), continuation.begin(), continuation.end());
  return out;
}

std::vector<TokenIds> all_ids(const std::vector<Text>& texts, const Encode& encode) {
  std::vector<TokenIds> out;
  for (const Text& text : texts) out.push_back(ids_of(text, encode));
  return out;
}

void need_attributes(const PromptSet& prompts) {
  if (prompts.negative.empty() || prompts.positive.empty())
    prompts_lack("have no \"attributes\": negative and positive continuations");
}

class Attribute final : public BiasMetric {
 public:
  Attribute(const graph::Program& program, const PromptSet& prompts,
            const std::vector<const PromptAxis*>& axes, const Encode& encode)
      : layout_(axes), negative_(prompts.negative.size()) {
    need_attributes(prompts);
    std::vector<TokenIds> continuations = all_ids(prompts.negative, encode);
    const std::vector<TokenIds> positive = all_ids(prompts.positive, encode);
    continuations.insert(continuations.end(), positive.begin(), positive.end());
    for (const TokenIds& ids : continuations) lengths_.push_back(static_cast<double>(ids.size()));
    std::vector<Scored> sequences;
    for_each_prompt(axes, [&](const Text& prompt) {
      const TokenIds ids = ids_of(prompt, encode);
      for (const TokenIds& continuation : continuations) sequences.push_back(continued(ids, continuation));
    });
    probe_ = likelihood_probe(program, std::move(sequences));
  }
  std::string_view name() const override { return "attribute"; }
  const Probe& probe() const override { return *probe_; }
  std::vector<AxisBias> judge(const at::Tensor& numbers) const override {
    const auto* sums = numbers.data_ptr<double>();
    return layout_.fill([&](std::size_t prompt) {
      std::vector<double> means;
      for (std::size_t c = 0; c < lengths_.size(); ++c)
        means.push_back(sums[prompt * lengths_.size() + c] / lengths_[c]);
      return attribute_risk(std::span(means).first(negative_), std::span(means).subspan(negative_));
    });
  }
  std::string_view caution() const override {
    return "It shows which continuations the model finds likelier, from a short list; not what it would "
           "write, nor whom that would harm.";
  }

 private:
  PromptLayout layout_;
  std::size_t negative_;
  std::vector<double> lengths_;
  std::unique_ptr<Probe> probe_;
};

class Descriptor final : public BiasMetric {
 public:
  Descriptor(const graph::Program& program, const std::vector<const PromptAxis*>& axes, const Encode& encode)
      : layout_(axes) {
    std::vector<Scored> sequences;
    for_each_prompt(axes, [&](const Text& prompt) {
      sequences.push_back({.ids = ids_of(prompt, encode), .first = 1});
      if (sequences.back().ids.size() < 2)
        prompts_lack("hold a prompt of one token: nothing in it can be predicted");
      lengths_.push_back(static_cast<double>(sequences.back().ids.size() - 1));
    });
    probe_ = likelihood_probe(program, std::move(sequences));
  }
  std::string_view name() const override { return "descriptor"; }
  const Probe& probe() const override { return *probe_; }
  std::vector<AxisBias> judge(const at::Tensor& numbers) const override {
    const auto* sums = numbers.data_ptr<double>();
    return layout_.fill([&](std::size_t i) { return -sums[i] / lengths_[i]; }, {.bias = descriptor_gap});
  }
  std::string_view caution() const override {
    return "Rare words are unlikely whomever they name: it compares a model before and after, and says "
           "little of one model alone.";
  }

 private:
  PromptLayout layout_;
  std::vector<double> lengths_;
  std::unique_ptr<Probe> probe_;
};

class Pairs final : public BiasMetric {
 public:
  Pairs(const graph::Program& program, const std::vector<const PromptAxis*>& axes, const Encode& encode) {
    std::vector<Scored> sequences;
    for (const PromptAxis* axis : axes) {
      if (axis->pairs.empty()) continue;
      counts_.emplace_back(axis->name, axis->pairs.size());
      for (const SentencePair& pair : axis->pairs)
        for (const Text* text : {&pair.stereotyping, &pair.other}) {
          sequences.push_back({.ids = ids_of(*text, encode), .first = 1});
          if (sequences.back().ids.size() < 2) prompts_lack("hold a sentence of one token");
        }
    }
    if (counts_.empty()) prompts_lack("have no \"pairs\" for the axes asked for");
    probe_ = likelihood_probe(program, std::move(sequences));
  }
  std::string_view name() const override { return "pairs"; }
  const Probe& probe() const override { return *probe_; }
  std::vector<AxisBias> judge(const at::Tensor& numbers) const override {
    const auto* sums = numbers.data_ptr<double>();
    const Reading reading{.bias = [](const std::vector<std::vector<double>>& preferred) {
      return std::abs(spread(preferred).mean - 0.5);
    }};
    std::vector<AxisBias> out;
    for (std::size_t next = 0; const auto& [axis, count] : counts_) {
      out.push_back(
          {.axis = axis, .bias = 0, .groups = {"stereotype likelier"}, .values = {{}}, .reading = reading});
      for (std::size_t i = 0; i < count; ++i, next += 2)
        out.back().values[0].push_back(
            stereotype_share(std::span(sums + next, 1), std::span(sums + next + 1, 1)));
      out.back().bias = bias_of(reading, out.back().values);
    }
    return out;
  }
  std::string_view caution() const override {
    return "It counts which of two sentences is likelier, whatever made it so; 0 can hide stereotypes that "
           "cancel.";
  }

 private:
  std::vector<std::pair<std::string, std::size_t>> counts_;
  std::unique_ptr<Probe> probe_;
};

class Association final : public BiasMetric {
 public:
  Association(const graph::Program& program, const PromptSet& prompts,
              const std::vector<const PromptAxis*>& axes, const Encode& encode)
      : layout_(axes), negative_(std::ssize(prompts.negative)), positive_(std::ssize(prompts.positive)) {
    need_attributes(prompts);
    std::vector<TokenIds> texts = all_ids(prompts.negative, encode);
    for (const Text& text : prompts.positive) texts.push_back(ids_of(text, encode));
    for_each_prompt(axes, [&](const Text& prompt) { texts.push_back(ids_of(prompt, encode)); });
    probe_ = embedding_probe(program, std::move(texts));
  }
  std::string_view name() const override { return "association"; }
  const Probe& probe() const override { return *probe_; }
  std::vector<AxisBias> judge(const at::Tensor& numbers) const override {
    const at::Tensor attributes = numbers.narrow(0, 0, negative_ + positive_);
    const at::Tensor prompts =
        numbers.narrow(0, negative_ + positive_, numbers.size(0) - negative_ - positive_);
    const at::Tensor cosine = at::mm(prompts, attributes.t());
    const at::Tensor score =
        (cosine.narrow(1, 0, negative_).mean(1) - cosine.narrow(1, negative_, positive_).mean(1))
            .contiguous();
    const auto* values = score.data_ptr<double>();
    return layout_.fill([&](std::size_t i) { return values[i]; });
  }
  std::string_view caution() const override {
    return "It shows how near sentences lie to each other in the embedding; not what an application built on "
           "it does, and a collapsed embedding has none of it.";
  }

 private:
  PromptLayout layout_;
  std::int64_t negative_, positive_;
  std::unique_ptr<Probe> probe_;
};

}  // namespace

std::vector<std::string> bias_metric_names() { return {"attribute", "descriptor", "pairs", "association"}; }

std::unique_ptr<BiasMetric> make_bias_metric(std::string_view name, const graph::Program& program,
                                             const PromptSet& prompts, const std::vector<std::string>& axes,
                                             const Encode& encode) {
  const std::vector<const PromptAxis*> chosen = chosen_axes(prompts, axes);
  if (name == "attribute") return std::make_unique<Attribute>(program, prompts, chosen, encode);
  if (name == "descriptor") return std::make_unique<Descriptor>(program, chosen, encode);
  if (name == "pairs") return std::make_unique<Pairs>(program, chosen, encode);
  if (name == "association") return std::make_unique<Association>(program, prompts, chosen, encode);
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = "--metric",
                   .message = "no metric " + models::io::in_quotes(name),
                   .where = {},
                   .why = {},
                   .help = "one of " + models::io::join_or(bias_metric_names())});
}

}  // namespace pollard::pruning::fairness
