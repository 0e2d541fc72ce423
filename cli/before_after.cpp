// SPDX-License-Identifier: Apache-2.0
#include "cli/before_after.h"

#include "cli/bench/measure.h"
#include "cli/runtime.h"
#include "cli/ui/format.h"
#include "models/io/cancel.h"

namespace pollard::cli {
namespace {

graph::Cost cost_of(const models::Model& model) {
  const graph::Dependencies dependencies = graph::analyse(model.program);
  return graph::CostModel(model.program, dependencies).evaluate(graph::full_widths(dependencies));
}

}  // namespace

BeforeAfter compare(const models::Model& before, const models::Model& after, int repeat, Context& context) {
  BeforeAfter out{.before = cost_of(before), .after = cost_of(after)};
  if (repeat <= 0) return out;
  const c10::Device device = choose_device(context.globals().device);
  std::vector<Contestant> pair;
  for (const models::Model* model : {&before, &after})
    pair.emplace_back(*model, input_shapes_for(*model, {}, std::nullopt), std::nullopt, device,
                      context.globals().seed);
  const auto timings = race(pair, 3, repeat, [] { models::io::throw_if_cancelled(); });
  const auto median = [](const Timing& t) { return t.seconds[t.seconds.size() / 2]; };
  out.seconds_before = median(timings[0]);
  out.seconds_after = median(timings[1]);
  return out;
}

Table size_table(const BeforeAfter& f) {
  const auto d = [](std::int64_t value) { return static_cast<double>(value); };
  Table table({{""}, {"before", true}, {"after", true}, {"change", true}});
  table.add({"parameters", count_cell(f.before.parameters), count_cell(f.after.parameters),
             format_change(d(f.before.parameters), d(f.after.parameters))});
  table.add({"MACs", short_cell(d(f.before.macs)), short_cell(d(f.after.macs)),
             format_fewer(d(f.before.macs), d(f.after.macs))});
  if (f.seconds_before > 0)
    table.add({"latency", seconds_cell(f.seconds_before), seconds_cell(f.seconds_after),
               format_factor(f.seconds_before / f.seconds_after)});
  return table;
}

void add_to(Json& json, const BeforeAfter& f) {
  json["parameters"] = {{"before", f.before.parameters}, {"after", f.after.parameters}};
  json["macs"] = {{"before", f.before.macs}, {"after", f.after.macs}};
  json["latency_seconds"] = {{"before", f.seconds_before}, {"after", f.seconds_after}};
}

}  // namespace pollard::cli
