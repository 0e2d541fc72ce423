// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "pruning/eligible.h"
#include "pruning/latency_table.h"

namespace pollard::pruning {

/// Times the ops of a network at narrower widths: the whole pruned network runs on its example input, so that every op
/// finds the caches as it will find them later; the shortest of several runs counts. What the table knows is not run.
class OpTimer {
 public:
  OpTimer(const models::Model& model, const graph::Dependencies& dependencies, LatencyTable& table);

  /// Seconds by op of the dense program, each class at `widths`; ops that pruning inserts count with the next one.
  std::vector<double> times(const std::vector<Class>& classes, const std::vector<std::int64_t>& widths);
  std::size_t measured() const { return measured_; }  ///< networks that were run

 private:
  graph::Removal removal(const std::vector<Class>& classes, const std::vector<std::int64_t>& widths) const;
  void measure(const models::Model& pruned, const std::vector<std::string>& keys);

  const models::Model& model_;
  const graph::Dependencies& d_;
  LatencyTable& table_;
  std::vector<at::Tensor> inputs_;
  std::size_t measured_ = 0;
};

/// Seconds of the shortest run of each model on the first one's example input, in turn, after a round that does not count.
/// The shortest is what a run takes when nothing else disturbs it; other work on the machine only adds. Time that other
/// processes had is not counted where one thread computes.
std::vector<double> race_models(const std::vector<const models::Model*>& models, int rounds);

/// Which classes' widths an op's shapes depend on, by op: indices into `classes`, those that take part only.
std::vector<std::vector<std::size_t>> classes_by_op(const graph::Program& program,
                                                    const graph::Dependencies& dependencies,
                                                    const std::vector<Class>& classes);

/// Class widths as widths of all axes.
graph::Widths axis_widths(const graph::Dependencies& dependencies, const std::vector<Class>& classes,
                          const std::vector<std::int64_t>& widths);

/// For every class the smallest of 1, 2, 4, .. 64 whose multiples run as fast: the seconds a multiply-accumulate of the
/// ops that the class shapes are within 5 % of the least. A multiple that would leave a class no narrower width is
/// halved until one is left, so that no class is passed over.
std::vector<std::int64_t> measured_multiples(const models::Model& model,
                                             const graph::Dependencies& dependencies,
                                             const std::vector<Class>& classes, OpTimer& timer);

}  // namespace pollard::pruning
