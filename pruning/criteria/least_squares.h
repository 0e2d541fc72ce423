// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/consumer_problems.h"

namespace pollard::pruning {

/// Least squares (Optimal Brain Surgeon on what consumes a unit): the exact squared error that is left at the outputs
/// of the layers that read the unit once those layers are refitted to what remains,
///
///     cost(b) = sum over consumers of  tr(S W_b ((C^-1)_bb)^-1 W_b') / scale
///
/// C [columns, columns]: second moments of the consumer's input over the calibration rows, about the mean where the
/// consumer has a bias, plus `ridge` times their mean diagonal; W_b: the unit's columns (all d of a head, all taps of
/// a channel). Units leave greedily and the rest is re-scored by block elimination (block_elimination.h), then swaps of
/// a removed for a kept unit are tried (OSSCAR, Meng et al., ICML 2024; SlimGPT, Ling et al., NeurIPS 2024; the one-shot
/// form is OBS, Hassibi & Stork, 1992). Query and key dimensions have no weight that reads them: there the error is that
/// of the attention scores.
///
/// metric=local: S = I and the scale is the consumer's own output energy tr(W C W'): a relative error a layer.
/// metric=output: S is the mean of g g', g the gradient of (network output . noise) at the consumer's output (one run
/// backwards a batch, no labels), and the scale is the energy of the network's output: the predicted relative error of
/// the network, on one scale for all layers (Gauss-Newton with layers and positions taken as independent).
///
/// Units: relative squared error; additive within a group. Cost: one pass over the samples, O(rows n^2) for the moments
/// and O(n^3) an elimination, n = columns of a consumer; 8 n^2 bytes each, groups in several passes above `memory`
/// MiB. Groups that no such layer reads cannot be judged.
class LeastSquares final : public Criterion {
 public:
  explicit LeastSquares(CriterionOptions& options);

  std::string name() const override;
  Scores score(const ScoreContext& context) const override;
  bool needs_calibration() const override { return true; }
  bool needs_weights() const override { return metric == ErrorMetric::Output; }  // gradients

  ErrorMetric metric;
  Loss loss;  ///< of metric=output; Auto: Noise
  double ridge;
  std::int64_t swaps;   ///< exchanges tried a group, of at most 1024 columns
  std::int64_t rows;    ///< an input is judged by at most
  std::int64_t batch;   ///< samples at once
  std::int64_t memory;  ///< MiB of moments at once
};

}  // namespace pollard::pruning
