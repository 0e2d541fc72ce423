// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "pruning/gradients.h"
#include "pruning/statistics.h"

namespace pollard::pruning {

/// Activations times their gradients at the inputs of all contractions, sample by sample: a dL/da, what zeroing an
/// activation changes of the loss to first order.
class ActivationGradients {
 public:
  ActivationGradients(const ScoreContext& context, Loss loss, std::int64_t batch)
      : context_(context),
        loss_(loss),
        batch_(batch),
        contractions_(find_contractions(context.model.program, context.dependencies)) {}

  const std::vector<Contraction>& contractions() const { return contractions_; }

  /// `visit` gets, for every batch and every contraction whose input the op shows, [samples, channels] summed over
  /// positions. States inside recurrent ops are not shown. The first dimension of an activation counts as samples.
  /// Of samples that are shared, those of this process: what is added up goes through the result's sum(); `samples` counts
  /// all.
  using Visit = std::function<void(std::size_t contraction, const at::Tensor& products)>;
  SharedWork run(const Visit& visit, double& samples) const;

 private:
  void watch(std::size_t contraction, const graph::Op& op, const at::Tensor& activation,
             const Visit& visit) const;

  const ScoreContext& context_;
  Loss loss_;
  std::int64_t batch_;
  std::vector<Contraction> contractions_;
};

/// Sums over the samples of |sum over a unit's channels|, by unit, at one consumer.
struct ConsumedUnits {
  Consumer consumer;
  at::Tensor sum;              ///< [units], f64
  at::Tensor channels, units;  ///< which channel counts for which unit
  void add(const at::Tensor& products);
  std::vector<double> means(double samples) const;
};

}  // namespace pollard::pruning
