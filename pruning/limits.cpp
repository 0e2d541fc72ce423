// SPDX-License-Identifier: Apache-2.0
#include "pruning/limits.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/error.h"

namespace pollard::pruning {

std::vector<Limit> limits_of(const PlanOptions& options, const graph::CostModel& cost,
                             const graph::Cost& before, const LatencyModel* latency) {
  std::vector<Limit> out;
  const auto add = [&](const char* what, double most, auto value) {
    out.push_back({.what = what, .most = most, .cost = [value](const graph::Widths& widths) {
                     return static_cast<double>(value(widths));
                   }});
  };
  const auto macs = [&cost](const graph::Widths& w) { return cost.macs(w); };
  if (options.max_parameters)
    add("parameters", static_cast<double>(*options.max_parameters),
        [&cost](const graph::Widths& w) { return cost.parameters(w); });
  if (options.max_macs) add("MACs", static_cast<double>(*options.max_macs), macs);
  if (options.speedup) add("MACs", std::floor(static_cast<double>(before.macs) / *options.speedup), macs);
  if (options.max_activation_bytes)
    add("bytes of activations", static_cast<double>(*options.max_activation_bytes),
        [&cost](const graph::Widths& w) { return cost.evaluate(w).peak_activation_bytes; });
  if (options.max_stored_bytes)
    add("bytes on disk", static_cast<double>(*options.max_stored_bytes),
        [&cost, extra = options.file_overhead](const graph::Widths& w) {
          return cost.evaluate(w).stored_bytes + extra;
        });
  if (options.has_latency()) {
    POLLARD_CHECK(latency, "a latency budget without a model of it");
    add("microseconds", 1e6 * most_seconds(options, *latency),
        [latency](const graph::Widths& w) { return 1e6 * latency->seconds(w); });
  }
  return out;
}

double most_seconds(const PlanOptions& options, const LatencyModel& latency) {
  const double most = options.max_seconds.value_or(std::numeric_limits<double>::infinity());
  return options.seconds_share ? std::min(most, *options.seconds_share * latency.dense()) : most;
}

PlanOptions step_toward(PlanOptions options, const graph::Cost& now, std::int64_t remaining, double seconds) {
  if (options.speedup) {
    const auto most = static_cast<std::int64_t>(std::floor(static_cast<double>(now.macs) / *options.speedup));
    options.max_macs = std::min(most, options.max_macs.value_or(most));
    options.speedup.reset();
  }
  if (options.seconds_share) {
    options.max_seconds = std::min(*options.seconds_share * seconds,
                                   options.max_seconds.value_or(std::numeric_limits<double>::infinity()));
    options.seconds_share.reset();
  }
  if (options.max_seconds && *options.max_seconds < seconds && remaining > 1)
    options.max_seconds =
        seconds * std::pow(*options.max_seconds / seconds, 1.0 / static_cast<double>(remaining));
  const auto part_of_the_way = [&](std::optional<std::int64_t>& bound, std::int64_t current) {
    if (!bound || *bound >= current || *bound <= 0 || remaining <= 1) return;
    const double share = static_cast<double>(*bound) / static_cast<double>(current);
    bound =
        std::llround(static_cast<double>(current) * std::pow(share, 1.0 / static_cast<double>(remaining)));
  };
  part_of_the_way(options.max_parameters, now.parameters);
  part_of_the_way(options.max_macs, now.macs);
  part_of_the_way(options.max_activation_bytes, now.peak_activation_bytes);
  part_of_the_way(options.max_stored_bytes, now.stored_bytes + options.file_overhead);
  return options;
}

double excess(const std::vector<Limit>& limits, const graph::Widths& widths) {
  double sum = 0;
  for (const Limit& limit : limits)
    if (const double cost = limit.cost(widths); cost > limit.most)
      sum += limit.most > 0 ? cost / limit.most - 1 : cost;
  return sum;
}

}  // namespace pollard::pruning
