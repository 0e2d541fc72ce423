// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

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

  /// How long a value is in the program that prune() was told of, whose example holds so many samples.
  struct Example {
    std::vector<std::int64_t> sizes;
    std::int64_t samples = 1;
  };
  /// The parent's tensor of this value at the units the child still has, along its first `dims` dimensions (-1: all). In a
  /// run of another number of samples, a dimension that holds the units of one sample after those of another is longer or
  /// shorter than in the example: then the units of every sample.
  at::Tensor of(const std::string& value, const at::Tensor& parent, const Example& example,
                std::int64_t dims = -1) const;

  /// "value|dim" -> indices; for checkpoints.
  const std::map<std::string, at::Tensor>& state() const { return kept_; }
  void restore(std::map<std::string, at::Tensor> state) { kept_ = std::move(state); }

 private:
  std::map<std::string, at::Tensor> kept_;
};

}  // namespace pollard::training
