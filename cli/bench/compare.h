// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench/report.h"
#include "cli/model_input.h"
#include "graph/cost.h"

namespace pollard::cli {

/// A model that takes part in a benchmark, and what it costs at its example input.
struct Entry {
  AnalysedModel m;
  graph::Cost cost;
};
Entry make_entry(AnalysedModel m);

/// What is run: shapes (none: the example's), batch size (none: the shapes'), type (none: the model's own).
struct Load {
  Shapes shapes;
  std::optional<std::int64_t> batch;
  std::optional<at::ScalarType> type;
  std::string type_name;
  c10::Device device = c10::kCPU;
  std::vector<Kernels> kernels{Kernels::Torch};  ///< every model runs with each
  std::uint64_t seed = 0;
};

/// All models under one load, in turn; one row for each and each kind of kernels, against the first. `after_round` is called once a round.
std::vector<BenchRow> compare(const std::vector<Entry>& entries, const Load& load, int warmup, int repeat,
                              const std::function<void()>& after_round);

}  // namespace pollard::cli
