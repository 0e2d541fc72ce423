// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "graph/error.h"
#include "pruning/fairness/metrics.h"

namespace pollard::pruning::fairness {
namespace {

[[noreturn]] void refuse(const std::string& subject, const std::string& message, const std::string& help) {
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = subject,
                   .message = message,
                   .where = {},
                   .why = {},
                   .help = help});
}

void check(const TokenIds& text, const Windows& w) {
  if (text.size() < 2)
    refuse("the text", "has fewer than two tokens: nothing to predict", "give a longer text");
  if (w.window < 2 || w.stride < 1)
    refuse("window", "needs at least two tokens and a stride of one",
           "window 256 and stride 128, for example");
  if (!w.published && w.stride > w.window)
    refuse("stride",
           std::to_string(w.stride) + " is above the window " + std::to_string(w.window) +
               ": part of the text would be skipped",
           "a stride of at most the window");
}

class Perplexity final : public PerformanceMetric {
 public:
  Perplexity(const graph::Program& program, const TokenIds& text, const Windows& windows, std::int64_t tokens)
      : published_(windows.published) {
    check(text, windows);
    std::vector<Scored> sequences;
    std::int64_t begin = 0, scored_to = 0;
    const auto length = static_cast<std::int64_t>(text.size());
    for (;; begin += windows.stride) {
      const std::int64_t end = std::min(begin + windows.window, length);
      // Tokens already scored are context only; a window's first token has nothing to be predicted from.
      const std::int64_t first = std::max<std::int64_t>(1, scored_to - begin);
      if (begin < end && first < end - begin) {
        sequences.push_back({.ids = {text.begin() + begin, text.begin() + end}, .first = first});
        counts_.push_back(static_cast<double>(end - begin - first));
      }
      scored_to = end;
      if (end == length || begin >= length) break;
    }
    probe_ = likelihood_probe(program, std::move(sequences), tokens);
  }
  std::string_view name() const override { return published_ ? "perplexity-published" : "perplexity"; }
  const Probe& probe() const override { return *probe_; }
  double judge(const at::Tensor& numbers, const at::Tensor&) const override {
    const auto* sums = numbers.data_ptr<double>();
    double loss = 0, total = 0, tokens = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      loss += -sums[i] / counts_[i];
      total += -sums[i];
      tokens += counts_[i];
    }
    if (!published_) return std::exp(total / tokens);
    return std::round(std::exp(loss / static_cast<double>(counts_.size())) * 1000) / 1000;
  }

 private:
  bool published_;
  std::vector<double> counts_;  ///< tokens each window predicts
  std::unique_ptr<Probe> probe_;
};

class EmbeddingShift final : public PerformanceMetric {
 public:
  EmbeddingShift(const graph::Program& program, std::vector<TokenIds> texts)
      : probe_(embedding_probe(program, std::move(texts))) {}
  std::string_view name() const override { return "embedding-shift"; }
  const Probe& probe() const override { return *probe_; }
  double judge(const at::Tensor& numbers, const at::Tensor& whole) const override {
    return 1 - (numbers * whole).sum(1).mean().item<double>();
  }

 private:
  std::unique_ptr<Probe> probe_;
};

}  // namespace

Windows Windows::as_published(std::int64_t longest) {
  return {.window = longest / 2 / 2, .stride = 512, .published = true};
}
Windows Windows::corrected(std::int64_t longest) {
  const std::int64_t window = std::max<std::int64_t>(2, longest / 4);
  return {.window = window, .stride = window / 2, .published = false};
}

std::unique_ptr<PerformanceMetric> make_perplexity(const graph::Program& program, const TokenIds& text,
                                                   const Windows& windows, std::int64_t tokens) {
  return std::make_unique<Perplexity>(program, text, windows, tokens);
}

std::unique_ptr<PerformanceMetric> make_embedding_shift(const graph::Program& program,
                                                        std::vector<TokenIds> texts) {
  return std::make_unique<EmbeddingShift>(program, std::move(texts));
}

}  // namespace pollard::pruning::fairness
