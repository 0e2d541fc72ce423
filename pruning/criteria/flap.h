// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/criteria/wanda.h"

namespace pollard::pruning {

/// FLAP's fluctuation (An et al., Fluctuation-based Adaptive Structured Pruning for Large Language Models, AAAI 2024):
/// a channel that hardly varies can be replaced by its mean in the next layer's bias, so it costs
///
///     score(u) = sum over the unit's channels c of Var(X_c) sum over outputs and taps of W_oc^2
///
/// at each layer that reads it, reduced over those layers; Var: sample variance over the calibration rows. By default
/// standardised within a group, as the paper does to rank layers together. Groups that no such layer reads cannot be
/// judged. Units: squared outputs, then standardised. Cost: one pass over the samples, 16 bytes a channel.
class Flap final : public Criterion {
 public:
  explicit Flap(CriterionOptions& options);
  std::string name() const override;
  Scores score(const ScoreContext& context) const override;
  bool needs_calibration() const override { return true; }
  bool needs_weights() const override { return false; }

  std::int64_t rows, batch;
  Combine combine;
};

}  // namespace pollard::pruning
