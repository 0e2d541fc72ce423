// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/io/json.h"
#include "pruning/fairness/scoreboard.h"

namespace pollard::pruning::fairness {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* kSchema = "pollard.head-scores/1";

[[noreturn]] void refuse(const std::string& name, const std::string& message) {
  throw UserError({.code = "E0394",
                   .exit = Exit::BadFile,
                   .subject = name,
                   .message = message,
                   .where = {},
                   .why = {},
                   .help = "make them with: pollard fairness score MODEL -o scores.json"});
}

/// JSON has no infinity, and the perplexity of a broken network can be infinite.
Json number(double value) {
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (std::isnan(value)) return "NaN";
  return value;
}

double number(const nlohmann::json& value) {
  if (value == "Infinity") return INFINITY;
  if (value == "-Infinity") return -INFINITY;
  if (value == "NaN") return NAN;
  return value.get<double>();
}

void read_unit(const nlohmann::json& item, const graph::Dependencies& d, Scoreboard& out) {
  const auto id = item.at("group").get<std::string>();
  const auto group = std::ranges::find(d.groups, id, &graph::Group::id);
  const auto unit = item.at("unit").get<std::int64_t>();
  if (group == d.groups.end() || unit < 0 || unit >= d.axes[static_cast<std::size_t>(group->axis)].size)
    throw std::out_of_range(id);
  out.units.push_back({.group = static_cast<std::int32_t>(group - d.groups.begin()), .unit = unit});
  out.groups.push_back(id);
  out.places.push_back(item.at("place").get<std::string>());
  out.performance.push_back(number(item.at("performance")));
  for (std::size_t a = 0; a < out.axes.size(); ++a) out.bias[a].push_back(number(item.at("bias").at(a)));
  if (!item.contains("baselines")) return;
  for (const auto& [name, score] : item.at("baselines").items()) out.baselines[name].push_back(number(score));
}

}  // namespace

std::string to_json(const Scoreboard& board) {
  Json bias = Json::array();
  for (const double b : board.bias_whole) bias.push_back(number(b));
  Json units = Json::array();
  for (std::size_t i = 0; i < board.units.size(); ++i) {
    Json unit{{"id", i},
              {"group", board.groups[i]},
              {"unit", board.units[i].unit},
              {"place", board.places[i]},
              {"performance", number(board.performance[i])},
              {"bias", Json::array()}};
    for (const auto& axis : board.bias) unit["bias"].push_back(number(axis[i]));
    for (const auto& [name, scores] : board.baselines) unit["baselines"][name] = number(scores[i]);
    units.push_back(std::move(unit));
  }
  return Json{{"schema", kSchema},
              {"model_sha256", board.sha256},
              {"performance", board.performance_name},
              {"bias", board.bias_name},
              {"axes", board.axes},
              {"whole", {{"performance", number(board.performance_whole)}, {"bias", bias}}},
              {"units", units}}
      .dump(1);
}

Scoreboard scoreboard_from_json(std::string_view text, const models::Model& model,
                                const graph::Dependencies& d, const std::string& name) {
  const nlohmann::json in = models::io::parse_json(text, name, 8);
  Scoreboard out;
  try {
    if (in.at("schema") != kSchema) refuse(name, "is no " + std::string(kSchema));
    out.sha256 = in.at("model_sha256").get<std::string>();
    out.performance_name = in.at("performance").get<std::string>();
    out.bias_name = in.at("bias").get<std::string>();
    out.axes = in.at("axes").get<std::vector<std::string>>();
    out.performance_whole = number(in.at("whole").at("performance"));
    for (const auto& b : in.at("whole").at("bias")) out.bias_whole.push_back(number(b));
    if (out.axes.empty() || out.bias_whole.size() != out.axes.size()) refuse(name, "names no axes");
    out.bias.resize(out.axes.size());
    for (const auto& item : in.at("units")) read_unit(item, d, out);
  } catch (const nlohmann::json::exception& error) {
    refuse(name, std::string("a part is missing or has the wrong type: ") + error.what());
  } catch (const std::out_of_range&) {
    refuse(name, "names a unit the model does not have");
  }
  if (out.sha256 != model.sha256) refuse(name, "are the scores of another file");
  for (const auto& [baseline, scores] : out.baselines)
    if (scores.size() != out.units.size()) refuse(name, "some units lack the score of " + baseline);
  return out;
}

}  // namespace pollard::pruning::fairness
