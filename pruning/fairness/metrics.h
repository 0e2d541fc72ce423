// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pruning/fairness/bias.h"
#include "pruning/fairness/probe.h"
#include "pruning/fairness/prompts.h"

namespace pollard::pruning::fairness {

/// A tokenizer: the ids of a text, with whatever the model wants around them.
using Encode = std::function<TokenIds(const std::string& text)>;

/// One axis judged: its bias, and the values of the prompts of each subgroup that it was made from:
/// bias == bias_of(reading, values).
struct AxisBias {
  std::string axis;
  double bias = 0;
  std::vector<std::string> groups;
  std::vector<std::vector<double>> values;  ///< by subgroup
  Reading reading;
};

/// A measure of bias: lower is fairer, by this measure.
class BiasMetric {
 public:
  virtual ~BiasMetric() = default;
  virtual std::string_view name() const = 0;
  virtual const Probe& probe() const = 0;
  /// `numbers`: what measure() gave for one network.
  virtual std::vector<AxisBias> judge(const at::Tensor& numbers) const = 0;
  /// One sentence: what a low value does not show.
  virtual std::string_view caution() const = 0;
};

/// The metrics that prompts are enough for:
///   attribute    F1: spread over subgroups of the risk that a prompt goes on negatively (attribute_risk)
///   descriptor   F2: descriptor_gap of the subgroups' negative log-likelihoods per token
///   pairs        F3: distance from 0.5 of the share of pairs whose stereotyping sentence is likelier
///   association  encoders: spread over subgroups of mean cosine(prompt, negative) - mean cosine(prompt, positive);
///                after the word embedding association test (Caliskan et al., Science 2017)
/// `axes`: which of the prompts' axes; empty for all. `encode` may be empty when every text is token ids.
/// Throws UserError E0203 for an unknown name or axis, E0392 for prompts that lack what the metric needs.
std::unique_ptr<BiasMetric> make_bias_metric(std::string_view name, const graph::Program& program,
                                             const PromptSet& prompts, const std::vector<std::string>& axes,
                                             const Encode& encode);
std::vector<std::string> bias_metric_names();

/// A measure of what a network can still do: higher is worse.
class PerformanceMetric {
 public:
  virtual ~PerformanceMetric() = default;
  virtual std::string_view name() const = 0;
  virtual const Probe& probe() const = 0;
  /// `whole`: the numbers of the network with nothing removed.
  virtual double judge(const at::Tensor& numbers, const at::Tensor& whole) const = 0;
};

/// How a long text is cut into windows. The published protocol of FASP takes window floor(floor(longest / 2) / 2) and
/// stride 512: with GPT-2's 1024 positions the window is 256, so every second 256 tokens are skipped and every window
/// starts without context; its perplexity is exp(mean over windows of the window's mean loss), to 3 decimals. The
/// corrected one takes a stride of half the window and exp(mean over all tokens).
struct Windows {
  std::int64_t window = 256, stride = 128;
  bool published = false;
  static Windows as_published(std::int64_t longest);
  static Windows corrected(std::int64_t longest);
};
/// Perplexity of a text: exp of the negative log-likelihood a token, each window predicting only what none before it
/// has. Throws UserError E0203 for fewer than two tokens, a window below 2, or a stride above the window unless
/// `published`.
std::unique_ptr<PerformanceMetric> make_perplexity(const graph::Program& program, const TokenIds& text,
                                                   const Windows& windows, std::int64_t tokens = 2048);
/// Encoders: 1 - mean cosine between a text's embedding and the whole network's.
std::unique_ptr<PerformanceMetric> make_embedding_shift(const graph::Program& program,
                                                        std::vector<TokenIds> texts);

}  // namespace pollard::pruning::fairness
