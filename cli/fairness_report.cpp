// SPDX-License-Identifier: Apache-2.0
#include "cli/fairness_report.h"

#include <fmt/format.h>

#include "cli/ui/format.h"

namespace pollard::cli {
namespace {

namespace fairness = pruning::fairness;
using fairness::Outcome;

Cell precise(double value) { return number_cell(value, fmt::format("{:.4g}", value)); }

constexpr std::int64_t kResamples = 1000;

Cell with_interval(const StandingRow::Estimate& e) {
  return number_cell(e.value,
                     fmt::format("{:.3f} [{:.3f}, {:.3f}]", e.value, e.interval.low, e.interval.high));
}

void add_rows(std::vector<StandingRow>& rows, const fairness::AxisBias& before,
              const fairness::AxisBias& after, std::uint64_t seed) {
  const auto b = fairness::bootstrap(before.values, kResamples, seed, before.reading);
  const auto a = fairness::bootstrap(after.values, kResamples, seed, after.reading);
  const auto c = fairness::bootstrap_change(before.values, after.values, kResamples, seed, before.reading);
  rows.push_back({.axis = before.axis,
                  .subgroup = "",
                  .before = {before.bias, b.bias},
                  .after = {after.bias, a.bias},
                  .change = {after.bias - before.bias, c.bias}});
  for (std::size_t g = 0; g < before.groups.size(); ++g) {
    const double was = fairness::level_of(before.reading, before.values[g]),
                 is = fairness::level_of(after.reading, after.values[g]);
    rows.push_back({.axis = before.axis,
                    .subgroup = before.groups[g],
                    .before = {was, b.levels[g]},
                    .after = {is, a.levels[g]},
                    .change = {is - was, c.levels[g]}});
  }
}

std::string setting_of(const Outcome& o) {
  if (o.choice.method == fairness::Method::Fasp && o.choice.alpha > 0)
    return fmt::format("gamma {:.1f}", o.choice.gamma);
  return o.choice.method == fairness::Method::Random ? fmt::format("seed {}", o.choice.seed) : "";
}

}  // namespace

std::string method_of(const Outcome& o) {
  return o.choice.alpha == 0 ? "none" : std::string(fairness::to_string(o.choice.method));
}

Table score_table(const fairness::Scoreboard& board) {
  std::vector<Column> columns{{"id", true},
                              {"group"},
                              {"unit", true},
                              {"place", false, Column::Cut::Middle},
                              {board.performance_name, true}};
  for (const std::string& axis : board.axes) columns.push_back({axis, true});
  for (const auto& [name, scores] : board.baselines) columns.push_back({name, true});
  Table table(columns);
  for (std::size_t i = 0; i < board.units.size(); ++i) {
    std::vector<Cell> row{std::to_string(i), board.groups[i], std::to_string(board.units[i].unit),
                          board.places[i], precise(board.performance[i])};
    for (const auto& axis : board.bias) row.push_back(precise(axis[i]));
    for (const auto& [name, scores] : board.baselines) row.push_back(precise(scores[i]));
    table.add(std::move(row));
  }
  return table;
}

std::vector<StandingRow> standing(const std::vector<fairness::AxisBias>& before,
                                  const std::vector<fairness::AxisBias>& after, std::uint64_t seed) {
  std::vector<StandingRow> rows;
  for (std::size_t a = 0; a < before.size(); ++a) add_rows(rows, before[a], after[a], seed);
  return rows;
}

Table standing_table(const std::vector<StandingRow>& rows) {
  Table table({{"bias, subgroups", false, Column::Cut::Middle},
               {"before [95 %]", true},
               {"after [95 %]", true},
               {"change [95 %]", true}});
  for (const StandingRow& row : rows)
    table.add({row.subgroup.empty() ? row.axis : "  " + row.subgroup, with_interval(row.before),
               with_interval(row.after), with_interval(row.change)});
  return table;
}

Table standing_numbers(const std::vector<StandingRow>& rows) {
  std::vector<Column> columns{{"axis"}, {"subgroup"}};
  for (const char* when : {"before", "after", "change"})
    for (const char* part : {"", "_low", "_high"}) columns.push_back({std::string(when) + part, true});
  Table table(columns);
  for (const StandingRow& row : rows) {
    std::vector<Cell> cells{row.axis, row.subgroup};
    for (const StandingRow::Estimate* e : {&row.before, &row.after, &row.change})
      for (const double value : {e->value, e->interval.low, e->interval.high})
        cells.push_back(precise(value));
    table.add(std::move(cells));
  }
  return table;
}

Json to_json(const std::vector<StandingRow>& rows) {
  const auto estimate = [](const StandingRow::Estimate& e) {
    return Json{{"value", e.value}, {"interval", {e.interval.low, e.interval.high}}};
  };
  Json out = Json::array();
  for (const StandingRow& row : rows)
    out.push_back({{"axis", row.axis},
                   {"subgroup", row.subgroup.empty() ? Json() : Json(row.subgroup)},
                   {"before", estimate(row.before)},
                   {"after", estimate(row.after)},
                   {"change", estimate(row.change)}});
  return out;
}

Table front_table(const std::vector<Outcome>& outcomes, bool all) {
  Table table({{"method"},
               {"setting"},
               {"alpha", true},
               {"removed", true},
               {"performance", true},
               {"bias", true},
               {"parameters", true},
               {"front"}});
  for (const Outcome& o : outcomes)
    if (all || o.front)
      table.add({method_of(o), setting_of(o), format_fixed(o.choice.alpha, 2), count_cell(o.removed),
                 precise(o.performance), precise(o.bias), count_cell(o.parameters), o.front ? "yes" : ""});
  return table;
}

Json to_json(const std::vector<Outcome>& outcomes, const std::vector<std::string>& axes) {
  Json out = Json::array();
  for (const Outcome& o : outcomes) {
    Json item{{"method", method_of(o)},  {"gamma", o.choice.gamma}, {"seed", o.choice.seed},
              {"alpha", o.choice.alpha}, {"removed", o.removed},    {"performance", o.performance},
              {"bias", o.bias},          {"axes", Json::object()},  {"parameters", o.parameters},
              {"macs", o.macs},          {"front", o.front}};
    for (std::size_t a = 0; a < axes.size(); ++a) item["axes"][axes[a]] = o.by_axis[a];
    out.push_back(std::move(item));
  }
  return out;
}

Table outcome_numbers(const std::vector<Outcome>& outcomes, const std::vector<std::string>& axes) {
  std::vector<Column> columns{{"method"},           {"setting"},           {"alpha", true},
                              {"removed", true},    {"performance", true}, {"bias", true},
                              {"parameters", true}, {"macs", true},        {"front"}};
  for (const std::string& axis : axes) columns.push_back({axis, true});
  Table table(columns);
  for (const Outcome& o : outcomes) {
    std::vector<Cell> row{
        method_of(o),           setting_of(o),   format_fixed(o.choice.alpha, 2), count_cell(o.removed),
        precise(o.performance), precise(o.bias), count_cell(o.parameters),        count_cell(o.macs),
        o.front ? "yes" : ""};
    for (const double bias : o.by_axis) row.push_back(precise(bias));
    table.add(std::move(row));
  }
  return table;
}

}  // namespace pollard::cli
