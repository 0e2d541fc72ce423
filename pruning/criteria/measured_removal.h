// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "pruning/scores.h"

namespace pollard::pruning {

/// How a plan names units that were chosen by what the network does without them (pruning/fairness):
///
///     fairness:method=fasp,gamma=0.3        fairness:method=magnitude
///
/// Those numbers take prompts and texts to measure, which a criterion is not given, so such a plan is read, checked and
/// carried out like any other, but not made again: score() throws UserError E0210 that says which command measures.
class MeasuredRemoval final : public Criterion {
 public:
  static constexpr const char* kName = "fairness";

  explicit MeasuredRemoval(CriterionOptions& options);
  /// The canonical text: gamma goes with the method that has one.
  static std::string text(std::string_view method, double gamma);

  std::string name() const override { return text(method_, gamma_); }
  Scores score(const ScoreContext& context) const override;

 private:
  std::string method_;
  double gamma_;
};

}  // namespace pollard::pruning
