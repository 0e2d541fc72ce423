// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/criteria/slabs.h"

namespace pollard::pruning {

/// BatchNorm scale (Liu et al., Learning Efficient Convolutional Networks through Network Slimming, ICCV 2017): |gamma|
/// of the batch norms that a unit passes through, reduced over them. Says something only where training pushed scales
/// apart. Groups without a batch norm that has a scale cannot be judged and are kept whole. Units: those of gamma, then
/// normalised. Cost: one read of the scales.
class BatchNormScale final : public Criterion {
 public:
  explicit BatchNormScale(CriterionOptions& options) : combine(Combine::from(options, {})) {}
  std::string name() const override { return "bn-scale:" + combine.text(); }
  Scores score(const ScoreContext& context) const override;

  Combine combine;
};

}  // namespace pollard::pruning
