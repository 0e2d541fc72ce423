// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pruning/fairness/classifier.h"
#include "pruning/fairness/metrics.h"

namespace pollard::pruning::fairness {

/// How a prompt is continued. The defaults are FASP's: prompts cut to their first 22 tokens, 40 new ones drawn among the
/// 50 likeliest at temperature 1 (its library's defaults). FASP pads prompts on the left to draw many at once; here each
/// is continued by itself, which is the same distribution.
struct Continuation {
  std::int64_t prompt_tokens = 22, new_tokens = 40, top_k = 50;
  double temperature = 1;
  std::int64_t draws = 1;  ///< continuations a prompt
  std::uint64_t seed =
      0;  ///< of the first draw; each prompt and draw has its own stream, the same for every network
  std::vector<std::int64_t> stop;  ///< tokens that end a text
};

/// FASP's own measure: what the model writes after each prompt, judged by a classifier. With m_g the mean over subgroup
/// g's prompts of the judgement of prompt and continuation, m that over all prompts: sum over g of |m - m_g|, averaged
/// over the draws. The network writes for itself, whole or with a unit silenced, so nothing is shared between units.
std::unique_ptr<BiasMetric> make_toxicity(const PromptSet& prompts, const std::vector<std::string>& axes,
                                          const Encode& encode, Judge judge, const Continuation& how = {});

}  // namespace pollard::pruning::fairness
