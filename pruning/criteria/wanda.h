// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/criteria/slabs.h"
#include "pruning/statistics.h"

namespace pollard::pruning {

/// Activation x weight, as Wanda (Sun et al., A Simple and Effective Pruning Approach for Large Language Models, ICLR
/// 2024) scores single weights, summed over all weights that read a unit:
///
///     score(u) = sum over the unit's channels c of |X_c|_rms sum over outputs and taps of |W_oc|
///
/// at each layer that reads it, reduced over those layers; |X_c|_rms over the calibration rows. For query and key
/// dimensions X_c are the products and W = 1. Groups that no such layer reads cannot be judged. Units: those of the
/// outputs, then normalised. Cost: one pass over the samples, 16 bytes a channel.
class Wanda final : public Criterion {
 public:
  explicit Wanda(CriterionOptions& options);
  std::string name() const override;
  Scores score(const ScoreContext& context) const override;
  bool needs_calibration() const override { return true; }
  bool needs_weights() const override { return false; }

  std::int64_t rows, batch;
  Combine combine;
};

/// What a criterion makes of a consumer: one number a channel from its moments and |W| [o, channels, taps].
using ChannelScore = std::function<at::Tensor(const Observed&)>;
/// Sums such numbers over the channels of each unit, reduced over consumers and normalised.
Scores score_channels(const ScoreContext& context, const StatisticsOptions& options, const Combine& combine,
                      const ChannelScore& score);

}  // namespace pollard::pruning
