// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/removal.h"
#include "models/model.h"

namespace pollard::pruning {

/// The original's weights with every removed slab zeroed (running variances keep their value).
kernels::Weights masked_weights(const models::Model& model, const graph::Dependencies& dependencies,
                                const graph::Removal& removal);

/// The value's tensor with every removed slab zeroed.
at::Tensor zero_removed(const graph::Dependencies& dependencies, graph::ValueId value,
                        const graph::Removal& removal, at::Tensor tensor);

/// The hooks that make a run of the original with masked weights the masked original. They refer to all three arguments, and
/// to ops by their index in `program`.
kernels::RunOptions masked_run_options(const graph::Program& program, const graph::Dependencies& dependencies,
                                       const graph::Removal& removal);

/// Runs the masked original on the original's executor. Where a norm, mean or sum of activations reduces over a pruned axis, the reduction is
/// over the kept units: the defined semantics of renormalised groups.
std::vector<at::Tensor> run_masked(const kernels::Executor& dense, const graph::Dependencies& dependencies,
                                   const graph::Removal& removal, const kernels::Weights& masked,
                                   const std::vector<at::Tensor>& inputs, at::ScalarType compute_type);

/// `count` input sets for the program: the file's sample inputs first, then variations of them (floats redrawn with
/// the sample's mean and spread, integers redrawn within the values seen). Without samples, floats are standard
/// normal and integers lie in the range of the table they index.
std::vector<std::vector<at::Tensor>> example_inputs(const models::Model& model, int count,
                                                    std::uint64_t seed);

struct VerifyOptions {
  int inputs = 4;
  std::uint64_t seed = 0;
  at::ScalarType compute_type = at::kDouble;
  double tolerance = 1e-10;  ///< of the largest |pruned - masked| relative to the largest |masked|
};

struct Verification {
  bool ok = false;
  double max_difference = 0;  ///< largest |pruned - masked| over all outputs and inputs
  double max_relative = 0;    ///< the same, relative to the largest |masked| of that output
  double change = 0;          ///< largest relative |original - masked|: that the check could fail at all
  int inputs = 0;
  bool renormalised = false;  ///< some reductions were over kept units by definition
  double tolerance = 0;
};

/// Compares pruned(x) with masked(original)(x).
Verification verify(const models::Model& original, const models::Model& pruned,
                    const graph::Dependencies& dependencies, const graph::Removal& removal,
                    const VerifyOptions& options = {});

}  // namespace pollard::pruning
