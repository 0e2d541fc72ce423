// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/context.h"
#include "graph/cost.h"

namespace pollard::cli {

/// One plan of a sweep. Errors are squared, relative to the variance of the dense network's outputs on the samples.
struct TradeOffPoint {
  double ratio = 0;
  graph::Cost before, after;
  std::optional<double> sliced, repaired;  ///< with samples only
};

Table trade_off_table(const std::vector<TradeOffPoint>& points);
Json to_json(const std::vector<TradeOffPoint>& points);

/// The curve as a picture: share of the MACs that stay against the error after repair, or against the share of the
/// parameters that stay where nothing was measured.
std::string trade_off_svg(const std::vector<TradeOffPoint>& points, const std::string& title);

}  // namespace pollard::cli
