// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/criteria/slabs.h"
#include "pruning/losses.h"

namespace pollard::pruning {

/// Diagonal Fisher (Optimal Brain Damage, LeCun et al., NIPS 1989, with the Fisher information for the Hessian; Theis et
/// al., 2018): the second-order change of the loss when a unit is set to zero,
///
///     score(u) = 1/2 sum over the unit's weights of w^2 F_ww,   F_ww = mean over samples n of (dL_n/dw)^2
///
/// Loss: cross-entropy with labels (the empirical Fisher), otherwise outputs times noise, where F is the diagonal of
/// J'J, the Hessian of the squared distance to the dense outputs. Gradients are squared a batch: batch=1 takes every
/// sample's own; with loss=noise or sampled larger batches estimate the same, since other samples' parts average out.
/// Units: those of the loss, comparable between groups. Cost: one run forwards and backwards a batch.
class Fisher final : public Criterion {
 public:
  explicit Fisher(CriterionOptions& options);
  std::string name() const override;
  Scores score(const ScoreContext& context) const override;
  bool needs_calibration() const override { return true; }

  Loss loss;
  std::int64_t batch;
  Combine combine;
  bool biases;
};

}  // namespace pollard::pruning
