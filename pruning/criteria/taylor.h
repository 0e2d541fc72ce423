// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/criteria/slabs.h"
#include "pruning/losses.h"

namespace pollard::pruning {

/// First-order Taylor: how much the loss L changes, to first order, when a unit is set to zero.
///
///     form=weight      sum over the unit's weights of |w dL/dw|
///     form=joint       |sum over the unit's weights of w dL/dw|, without cancelling signs apart
///                      (Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019)
///     form=activation  mean over samples of |sum over positions of a dL/da| at the inputs of the layers that read the
///                      unit (Molchanov et al., Pruning Convolutional Neural Networks, ICLR 2017); groups that no such
///                      layer reads cannot be judged
///
/// Gradients are means over the samples. Loss: cross-entropy with labels, otherwise half the squared norm of the
/// outputs (losses.h). Units: those of the loss, then normalised. Cost: one pass forwards and backwards.
class Taylor final : public Criterion {
 public:
  enum class Form { Weight, Joint, Activation };

  explicit Taylor(CriterionOptions& options);
  std::string name() const override;
  Scores score(const ScoreContext& context) const override;
  bool needs_calibration() const override { return true; }

  Form form;
  Loss loss;
  std::int64_t batch;
  Combine combine;
  bool biases;  ///< whether biases count (weight forms)

 private:
  Scores from_weights(const ScoreContext& context) const;
  Scores from_activations(const ScoreContext& context) const;
  Loss chosen(const ScoreContext& context) const;
};

}  // namespace pollard::pruning
