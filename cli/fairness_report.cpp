// SPDX-License-Identifier: Apache-2.0
#include "cli/fairness_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/ui/format.h"

namespace pollard::cli {
namespace {

namespace fairness = pruning::fairness;
using fairness::Outcome;

Cell precise(double value) { return number_cell(value, fmt::format("{:.4g}", value)); }

Cell with_interval(double value, const fairness::Interval& interval) {
  return number_cell(value, fmt::format("{:.4f} [{:.4f}, {:.4f}]", value, interval.low, interval.high));
}

constexpr std::int64_t kResamples = 1000;

void add_rows(Table& table, const fairness::AxisBias& before, const fairness::AxisBias& after,
              std::uint64_t seed) {
  if (before.values.empty()) {
    table.add({before.axis, "bias", precise(before.bias), precise(after.bias)});
    return;
  }
  const auto b = fairness::bootstrap(before.values, kResamples, seed);
  const auto a = fairness::bootstrap(after.values, kResamples, seed);
  const auto mb = fairness::spread(before.values), ma = fairness::spread(after.values);
  table.add({before.axis, "spread", with_interval(mb.bias, b.bias), with_interval(ma.bias, a.bias)});
  for (std::size_t g = 0; g < before.groups.size(); ++g)
    table.add({before.axis, before.groups[g], with_interval(mb.group_means[g], b.group_means[g]),
               with_interval(ma.group_means[g], a.group_means[g])});
}

std::string method_of(const Outcome& o) {
  if (o.choice.alpha == 0) return "none";
  return std::string(fairness::to_string(o.choice.method));
}

std::string setting_of(const Outcome& o) {
  if (o.choice.method == fairness::Method::Fasp && o.choice.alpha > 0)
    return fmt::format("gamma {:.1f}", o.choice.gamma);
  return o.choice.method == fairness::Method::Random ? fmt::format("seed {}", o.choice.seed) : "";
}

/// A finite axis of the picture: perplexities of broken networks would flatten everything else, so the scale
/// ends at the ninth decile and what lies beyond sits at the edge.
struct Scale {
  double low = 0, high = 1, from = 0, to = 1;
  double at(double value) const {
    const double share = std::isfinite(value) ? std::clamp((value - low) / (high - low), 0.0, 1.0) : 1.0;
    return from + share * (to - from);
  }
};

Scale scale_of(const std::vector<Outcome>& outcomes, double Outcome::*value, double from, double to) {
  std::vector<double> values;
  for (const Outcome& o : outcomes)
    if (std::isfinite(o.*value)) values.push_back(o.*value);
  std::ranges::sort(values);
  Scale out{.low = values.front(), .high = values[values.size() * 9 / 10], .from = from, .to = to};
  if (!(out.high > out.low)) out.high = out.low + 1;
  return out;
}

const char* colour_of(const std::string& method) {
  static const std::map<std::string, const char*> colours{
      {"fasp", "#0072b2"},     {"performance", "#009e73"}, {"bias", "#d55e00"}, {"magnitude", "#cc79a7"},
      {"gradient", "#e69f00"}, {"random", "#999999"},      {"none", "#000000"}};
  return colours.at(method);
}

}  // namespace

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

Table standing_table(const std::vector<fairness::AxisBias>& before,
                     const std::vector<fairness::AxisBias>& after, std::uint64_t seed) {
  Table table({{"axis"}, {"subgroup"}, {"before [95 %]", true}, {"after [95 %]", true}});
  for (std::size_t a = 0; a < before.size(); ++a) add_rows(table, before[a], after[a], seed);
  return table;
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

std::string front_svg(const std::vector<Outcome>& outcomes, const std::string& performance_name,
                      const std::string& bias_name) {
  const Scale x = scale_of(outcomes, &Outcome::performance, 60, 620);
  const Scale y = scale_of(outcomes, &Outcome::bias, 380, 20);
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 430\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"760\" height=\"430\" fill=\"white\"/>\n"
      "<path d=\"M60 20V380H620\" fill=\"none\" stroke=\"black\"/>\n";
  out += fmt::format(
      "<text x=\"60\" y=\"400\">{:.4g}</text><text x=\"620\" y=\"400\" text-anchor=\"end\">{:.4g}"
      "</text><text x=\"340\" y=\"418\" text-anchor=\"middle\">{} (lower is better)</text>\n",
      x.low, x.high, performance_name);
  out += fmt::format(
      "<text x=\"55\" y=\"380\" text-anchor=\"end\">{:.3g}</text><text x=\"55\" y=\"30\" "
      "text-anchor=\"end\">{:.3g}</text><text transform=\"translate(15 200) rotate(-90)\" "
      "text-anchor=\"middle\">{} bias (lower is better)</text>\n",
      y.low, y.high, bias_name);
  std::map<std::string, int> legend;
  for (const Outcome& o : outcomes) {
    const std::string method = method_of(o);
    legend.emplace(method, static_cast<int>(legend.size()));
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\" fill-opacity=\"0.6\"{}/>\n",
                       x.at(o.performance), y.at(o.bias), method == "none" ? 6 : 4, colour_of(method),
                       o.front ? " stroke=\"black\"" : "");
  }
  for (const auto& [method, line] : legend)
    out += fmt::format(
        "<circle cx=\"640\" cy=\"{0}\" r=\"4\" fill=\"{1}\"/><text x=\"650\" y=\"{2}\">{3}</text>\n",
        30 + 18 * line, colour_of(method), 34 + 18 * line, method);
  return out + "<text x=\"640\" y=\"180\">ringed: front</text>\n</svg>\n";
}

}  // namespace pollard::cli
