// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "pruning/scores.h"

namespace pollard::pruning {

/// How one unit's parts (its slabs in several parameters) become one number.
enum class Reduce { Mean, Sum, Max, Prod, First };
/// How the scores of one group are put on a common scale with other groups'.
enum class Normalize {
  None,
  Sum,       ///< divided by their sum
  Mean,      ///< divided by their mean
  Max,       ///< divided by their maximum
  Gaussian,  ///< (score - mean) / standard deviation
  Lamp  ///< score over the sum of all scores not smaller (Lee et al., Layer-adaptive sparsity, ICLR 2021)
};

/// The two choices together, as options `reduce` and `normalize` of the criteria that have them.
struct Combine {
  Reduce reduce = Reduce::Mean;
  Normalize normalize = Normalize::Mean;

  static Combine from(CriterionOptions& options, Combine defaults);
  std::string reduce_text() const;
  std::string text() const;  ///< "reduce=mean,normalize=mean"
};

/// What a criterion makes of one parameter: for every dimension asked for, one number an index; empty when the
/// parameter does not count.
using SlabSums = std::function<std::vector<std::vector<double>>(const graph::Input& parameter,
                                                                std::span<const std::int64_t> dims)>;

/// Scores from slabs: a unit owns, in each parameter dimension that mentions its axis, the indices it covers (all gates
/// of an LSTM unit, every copy in a repeated dimension); their numbers are summed and taken without sign, the slabs
/// reduced, the group normalised. Groups without a slab that counts get zeros and, when `why_not` is given, that reason as unjudged.
Scores score_slabs(const ScoreContext& context, const Combine& combine, const SlabSums& sums,
                   const std::string& why_not = {});

/// Sums over all dimensions but `dim`, in f64.
std::vector<double> sums_along(const at::Tensor& values, std::int64_t dim);

/// The flat indices of `term` that each unit of the axis covers, [unit][k]; a unit the term does not show is empty.
std::vector<std::vector<std::int64_t>> indices_of_units(const graph::Dependencies& dependencies,
                                                        graph::TermId term, graph::AxisIndex axis);

/// Parameters that are only ever added: "bias" arguments, addmm's first, the biases of recurrent layers.
std::set<graph::ValueId> biases_of(const graph::Program& program);

/// Reduces the slabs' scores of one group (slabs x units) to one number a unit.
std::vector<double> reduce_slabs(const std::vector<std::vector<double>>& slabs, Reduce how);
void normalize(std::vector<double>& scores, Normalize how);

}  // namespace pollard::pruning
