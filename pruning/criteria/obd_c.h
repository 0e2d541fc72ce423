// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/criteria/slabs.h"
#include "pruning/losses.h"

namespace pollard::pruning {

/// C-OBD with Kronecker factors (Wang et al., EigenDamage: Structured Pruning in the Kronecker-Factored Eigenbasis, ICML
/// 2019): the second-order change of the loss when the filters that make a unit are set to zero, with K-FAC for the
/// Fisher information, F = A (x) S,
///
///     score(u) = positions / 2 tr(S_bb W_b A W_b') = positions / 2 sum over j, k of lambda_j mu_k (Q_S' E_b W_b Q_A)_jk^2
///
/// A = mean of x x' over the rows of the layer's input, S = mean of g g' over its output gradients, lambda, Q_S and mu,
/// Q_A their eigenpairs (the second form is the first in the Kronecker eigenbasis); b the rows of W that make the unit:
/// all gates, all d of a head. Summed over the layers that make it; biases do not count, groups that no such layer makes
/// (embeddings) cannot be judged. Loss: cross-entropy with labels, otherwise outputs times noise (losses.h). Gradients
/// inside recurrent ops are not seen: there S is their outputs' mean square. Units: those of the loss, comparable
/// between groups. Cost: one pass forwards and backwards, O(rows n^2) and 8 n^2 bytes a layer's input.
class ObdC final : public Criterion {
 public:
  explicit ObdC(CriterionOptions& options);
  std::string name() const override;
  Scores score(const ScoreContext& context) const override;
  bool needs_calibration() const override { return true; }

  Loss loss;
  std::int64_t rows, batch;
  Combine combine;
};

}  // namespace pollard::pruning
