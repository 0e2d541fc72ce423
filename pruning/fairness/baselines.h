// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "pruning/fairness/knockout.h"
#include "pruning/fairness/probe.h"

namespace pollard::pruning::fairness {

/// FASP's magnitude baseline: the L2 norm of everything a unit owns (a head's slices of q, k, v, their biases and the
/// output projection), divided by the largest of all.
std::vector<double> magnitude_scores(const models::Model& model, const graph::Dependencies& dependencies,
                                     const std::vector<Unit>& units);

/// FASP's gradient baseline (after Michel et al., Are Sixteen Heads Really Better than One?, NeurIPS 2019): a mask of
/// ones multiplies the units where they leave their group (before a head's output projection), and a unit scores
/// the sum over the probe's batches of |d loss / d mask|; each group divided by its L2 norm (+ 1e-20), then all by
/// the largest. `loss`: of the probe's numbers [members, k] of one batch. Throws UserError E0203 when a group has no
/// place where its units leave, so that no mask can be put on them.
std::vector<double> gradient_scores(const models::Model& model, const graph::Dependencies& dependencies,
                                    const std::vector<Unit>& units, const Probe& probe,
                                    const std::function<at::Tensor(const at::Tensor& numbers)>& loss);

/// The loss of numbers [members, k]: of likelihoods (k = 1) their negative mean, of embeddings, which have no loss of
/// their own, the sum of their products with seeded random directions.
std::function<at::Tensor(const at::Tensor& numbers)> unit_loss(std::uint64_t seed);

}  // namespace pollard::pruning::fairness
