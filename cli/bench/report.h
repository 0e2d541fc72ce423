// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench/measure.h"
#include "cli/context.h"
#include "graph/cost.h"

namespace pollard::cli {

/// One line of a benchmark: a model at a batch size and type, against the first model at the same.
struct BenchRow {
  std::string model, kernels = "torch", dtype, batch;
  Timing timing;
  graph::Cost cost;       ///< at the model's example input
  double speedup = 1;     ///< median of the first model / this one's
  double macs_ratio = 1;  ///< MACs of the first model / this one's: the speed-up in theory
  double median() const;
  double half_width() const;
  double rows_per_second() const { return static_cast<double>(timing.rows) / median(); }
  /// Share of the theoretical speed-up that the clock shows; nothing for the first model.
  std::optional<double> realised() const;
};

/// For people: 80 columns, "1.45x of 2.00x" for what the clock shows of what the MACs promise.
Table bench_summary(const std::vector<BenchRow>& rows, const std::vector<double>& percentiles);
/// For files and spreadsheets: every figure a column of its own.
Table bench_table(const std::vector<BenchRow>& rows, const std::vector<double>& percentiles);
Json to_json(const BenchRow& row, const std::vector<double>& percentiles);
/// What the numbers may be hiding: noise, or a speed-up that stays far below theory.
std::vector<std::string> bench_notes(const std::vector<BenchRow>& rows);

}  // namespace pollard::cli
