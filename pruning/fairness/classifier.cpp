// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/classifier.h"

#include <ATen/ATen.h>

#include <map>
#include <memory>

#include "graph/error.h"
#include "kernels/executor.h"
#include "models/data/plain_line.h"
#include "pruning/fairness/token_inputs.h"

namespace pollard::pruning::fairness {
namespace {

constexpr std::size_t kMostTogether = 64;

class Classifier {
 public:
  Classifier(models::Model model, const ClassifierOutput& output)
      : weights_(std::move(model.weights)),
        inputs_(model.program),
        executor_(std::move(model.program)),
        output_(output) {}

  std::vector<double> operator()(std::vector<TokenIds> texts) const {
    std::map<std::size_t, std::vector<std::size_t>> by_length;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (const auto longest = inputs_.longest(); longest && std::ssize(texts[i]) > *longest)
        texts[i].resize(static_cast<std::size_t>(*longest));
      by_length[texts[i].size()].push_back(i);
    }
    std::vector<double> out(texts.size());
    const auto together = static_cast<std::size_t>(inputs_.fixed_batch().value_or(kMostTogether));
    for (const auto& [length, members] : by_length)
      for (std::size_t from = 0; from < members.size(); from += together)
        run(std::span(members).subspan(from, std::min(together, members.size() - from)), texts, out);
    return out;
  }

 private:
  void run(std::span<const std::size_t> members, const std::vector<TokenIds>& texts,
           std::vector<double>& out) const {
    std::vector<const TokenIds*> batch;
    for (const std::size_t i : members) batch.push_back(&texts[i]);
    const at::Tensor scores = executor_.run(weights_, inputs_.batch(batch)).front().to(at::kDouble);
    if (scores.dim() != 2 || output_.index < 0 || output_.index >= scores.size(1))
      throw UserError({.code = "E0203",
                       .exit = Exit::Usage,
                       .subject = "the classifier",
                       .message = "has no output " + std::to_string(output_.index) + " of [texts, classes]",
                       .where = {},
                       .why = {},
                       .help = "name one of its outputs, counted from 0"});
    const at::Tensor chance = output_.softmax ? scores.softmax(1) : scores.sigmoid();
    for (std::size_t i = 0; i < members.size(); ++i)
      out[members[i]] = chance[static_cast<std::int64_t>(i)][output_.index].item<double>();
  }

  kernels::Weights weights_;
  TokenInputs inputs_;
  kernels::Executor executor_;
  ClassifierOutput output_;
};

}  // namespace

Judge judge_by(models::Model classifier, const ClassifierOutput& output,
               std::function<std::string(const TokenIds&)> words, Encode encode) {
  const auto judge = std::make_shared<const Classifier>(std::move(classifier), output);
  return [judge, words = std::move(words), encode = std::move(encode)](const std::vector<TokenIds>& texts) {
    if (!words || !encode) return (*judge)(texts);
    std::vector<TokenIds> translated;
    for (const TokenIds& ids : texts) translated.push_back(encode(models::lower_case_line(words(ids))));
    return (*judge)(translated);
  };
}

}  // namespace pollard::pruning::fairness
