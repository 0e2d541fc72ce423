// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "graph/dependencies.h"

namespace pollard::pruning {

/// Puts the samples of a network's values first, wherever its ops have them: nn.MultiheadAttention works on
/// [positions, samples, channels], and on [positions x samples, channels].
class SampleOrder {
 public:
  /// `samples`: of the run that the tensors come from.
  SampleOrder(const graph::Program& program, const graph::Dependencies& dependencies, std::int64_t samples);

  /// `x` is what `value` held: [.., channels] as [samples, .., channels]; unchanged where the samples come first already, or
  /// no dimension holds them.
  at::Tensor first(const at::Tensor& x, graph::ValueId value) const;

 private:
  const graph::Dependencies& d_;
  graph::TermId batch_;  ///< the samples' axis; none (-1) where no input has one
  std::int64_t samples_;
};

}  // namespace pollard::pruning
