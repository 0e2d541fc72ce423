// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/scores.h"

namespace pollard::pruning {

/// Uniform scores in [0, 1) from the seed: the baseline every criterion has to beat.
class Random final : public Criterion {
 public:
  explicit Random(CriterionOptions&) {}  // the seed is the context's

  std::string name() const override { return "random"; }
  Scores score(const ScoreContext& context) const override;
  bool needs_weights() const override { return false; }
};

}  // namespace pollard::pruning
