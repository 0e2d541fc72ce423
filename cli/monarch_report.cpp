// SPDX-License-Identifier: Apache-2.0
#include "cli/monarch_report.h"

#include <fmt/format.h>

#include "cli/prune_outcome.h"
#include "cli/ui/format.h"

namespace pollard::cli {
namespace {

/// "encoder.fc" of "encoder.fc.weight".
std::string layer_name(const std::string& weight) {
  return weight.ends_with(".weight") ? weight.substr(0, weight.size() - 7) : weight;
}

}  // namespace

Table monarch_layers(const pruning::MonarchReport& report) {
  Table table({{"layer", false, Column::Cut::Middle},
               {"out x in"},
               {"rank", true},
               {"stored", true},
               {"error", true},
               {"output", true}});
  for (const pruning::MonarchLayer& layer : report.layers)
    table.add({layer_name(layer.weight), fmt::format("{} x {}", layer.out, layer.in), count_cell(layer.rank),
               short_cell(static_cast<double>(layer.after)),
               number_cell(layer.weight_error, format_fixed(layer.weight_error, 3)),
               number_cell(layer.output_error, format_fixed(layer.output_error, 3))});
  return table;
}

Json to_json(const pruning::MonarchReport& report, const BeforeAfter& m, const std::string& input,
             const std::string& output) {
  Json layers = Json::array();
  for (const pruning::MonarchLayer& layer : report.layers)
    layers.push_back({{"weight", layer.weight},
                      {"out", layer.out},
                      {"in", layer.in},
                      {"rank", layer.rank},
                      {"stored_before", layer.before},
                      {"stored_after", layer.after},
                      {"weight_error", layer.weight_error},
                      {"output_error", layer.output_error}});
  Json json{{"input", input},
            {"output", output.empty() ? Json() : Json(output)},
            {"layers", layers},
            {"left_dense", report.left},
            {"output_change", report.output_change},
            {"input_bytes", file_size(input)}};
  add_to(json, m);
  if (!output.empty()) json["output_bytes"] = file_size(output);
  return json;
}

}  // namespace pollard::cli
