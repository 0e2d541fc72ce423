// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pruning/contractions.h"
#include "pruning/losses.h"
#include "pruning/scores.h"

namespace pollard::pruning {

/// Sums over the rows that flow into contractions of one value, in f64.
struct InputMoments {
  at::Tensor sum;     ///< [batch, columns]
  at::Tensor second;  ///< X'X [batch, columns, columns], or its diagonal [batch, columns]
  double rows = 0;    ///< that were read
  double total = 0;   ///< that there were: rows are thinned

  /// Second moments about 0 or, `centred`, about the mean: divided by the rows.
  at::Tensor covariance(bool centred) const;
};

/// What was seen of one contraction.
struct Observed {
  Contraction contraction;
  at::Tensor weight;                    ///< [batch, o, channels, taps], as the op got it
  std::shared_ptr<InputMoments> input;  ///< shared by contractions of the same input
  at::Tensor
      output_gradient;  ///< mean of g g' over rows, [batch, o, o]; [1, 1, 1] where only its size is known
};

struct StatisticsOptions {
  bool full = false;       ///< all of X'X over channels x taps; otherwise its diagonal over channels
  bool gradients = false;  ///< output_gradient too: a run backwards per batch, of `loss`
  Loss loss = Loss::Noise;
  std::int64_t max_rows = 1 << 17;  ///< rows an input is judged by
  std::int64_t batch = 16;          ///< samples run at once
  std::int64_t memory = 2048;       ///< MiB of moments that for_each_group() holds at once
};

struct Statistics {
  std::vector<Observed> observed;  ///< in program order
  double samples = 0;
  double output_energy = 0;  ///< with gradients: mean over the samples of |y|^2, y all outputs
  double bytes = 0;          ///< of all moments
};

/// Streams the calibration samples once through the network and gathers the moments of the given contractions. Memory:
/// the activations of one batch, and 8 bytes times columns squared (or columns) an input.
/// Where the weights are stored (ScoreContext::stored) the network runs in parts, and `part_done` sees what there is after each
/// and how many ops have run: moments of contractions before that are final, and may be let go there.
using PartSeen = std::function<void(Statistics& so_far, std::size_t ops)>;
Statistics gather(const ScoreContext& context, const std::vector<Contraction>& contractions,
                  const StatisticsOptions& options, const PartSeen& part_done = {});

/// For one group: the contractions that sum over it, by index, each with the channels of every unit.
struct Consumer {
  std::size_t observed = 0;
  std::vector<std::vector<std::int64_t>> channels;  ///< [unit][k]
};
std::vector<Consumer> consumers_of(const graph::Dependencies& dependencies, std::size_t group,
                                   const std::vector<Contraction>& contractions);

/// One group, with what flows into its consumers.
struct GroupStatistics {
  std::size_t index = 0, units = 0;
  std::vector<Consumer> consumers;
  std::shared_ptr<const Statistics> statistics;  ///< only during the visit where weights are stored
  std::string unjudged;                          ///< why there are none: what would have to be held at once
};
/// Zeros for every unit, by group: what groups that are not visited keep.
std::vector<std::vector<double>> no_scores(const graph::Dependencies& dependencies);

/// Visits every group that is wanted, in order. One pass over the samples serves all groups whose moments fit into the memory
/// together; a group that needs more by itself gets it. Where the weights are stored there is one pass over them: groups are
/// visited as soon as the last of their consumers has run, and those that need more by themselves, weights counted, are not
/// judged. Returns what that took, for Scores::notes.
std::string for_each_group(const ScoreContext& context, const StatisticsOptions& options,
                           const std::function<void(const GroupStatistics&)>& visit);

}  // namespace pollard::pruning
