// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "graph/dependencies.h"
#include "graph/removal.h"

namespace pollard::training {

/// Where the values of a pruned network lie in those of its dense parent: what one distils into the other by. Values keep
/// their names when a network is pruned, also in several steps.
class KeptUnits {
 public:
  /// One more pruning: `program` and `dependencies` are those of the network before it.
  void prune(const graph::Program& program, const graph::Dependencies& dependencies,
             const graph::Removal& removal);

  /// The parent's tensor of this value at the units the child still has.
  at::Tensor of(const std::string& value, const at::Tensor& parent) const;

  /// "value|dim" -> indices; for checkpoints.
  const std::map<std::string, at::Tensor>& state() const { return kept_; }
  void restore(std::map<std::string, at::Tensor> state) { kept_ = std::move(state); }

 private:
  std::map<std::string, at::Tensor> kept_;
};

}  // namespace pollard::training
