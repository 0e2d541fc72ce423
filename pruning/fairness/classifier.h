// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/model.h"
#include "pruning/fairness/metrics.h"

namespace pollard::pruning::fairness {

/// Judges token sequences of the language model (prompt and continuation): a number from 0 to 1 each.
using Judge = std::function<std::vector<double>(const std::vector<TokenIds>& texts)>;

/// Which number of a classifier's output is the judgement.
struct ClassifierOutput {
  std::int64_t index = 0;  ///< along the last dimension
  bool softmax =
      false;  ///< a choice among classes; otherwise every output is a probability of its own (sigmoid)
};

/// Any program whose first output is [texts, classes], as a judge of texts. Texts of one length run together, so that
/// none is padded. `words` makes text of the language model's ids and `encode` the classifier's ids of that text, put
/// into lower case on one line first, as the published protocol does; without both the classifier reads the
/// language model's ids. Texts longer than it takes are cut at the end. Throws UserError E0203 for another output or an
/// index it does not have.
Judge judge_by(models::Model classifier, const ClassifierOutput& output,
               std::function<std::string(const TokenIds&)> words = {}, Encode encode = {});

}  // namespace pollard::pruning::fairness
