// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "graph/removal.h"
#include "models/model.h"

namespace pollard::pruning {

/// The smaller program: size arguments follow their terms (a size changes only where its term's size changed, so -1
/// and symbolic sizes stay; slice bounds move by what was removed before them; unequal chunks are asked for by size;
/// an implicit attention scale is written out with the original head dim). Pure: no weights, no I/O.
graph::Program rewrite(const graph::Program& program, const graph::Dependencies& dependencies,
                       const graph::Removal& removal);

/// The same for any widths, larger ones too (a batch axis): positions are moved only by what `removal` says.
graph::Program resize(const graph::Program& program, const graph::Dependencies& dependencies,
                      const graph::Removal& removal, const graph::Widths& widths);

/// Which flat positions of each dimension of an input survive; only dimensions that change.
std::map<std::int64_t, std::vector<std::int64_t>> kept_of(const graph::Dependencies& dependencies,
                                                          graph::ValueId value,
                                                          const graph::Removal& removal);

/// The smaller weights: byte slices of the originals, no arithmetic. Tied names stay one tensor. A weight given away
/// (`std::move(weights)`) is released as soon as it is sliced, so both networks are never in memory whole.
kernels::Weights slice_weights(const graph::Program& program, kernels::Weights weights,
                               const graph::Dependencies& dependencies, const graph::Removal& removal);

/// Both, as a model. Metadata is not touched. `model` is by value: moved in, it is consumed weight by weight.
models::Model prune(models::Model model, const graph::Dependencies& dependencies,
                    const graph::Removal& removal);

}  // namespace pollard::pruning
