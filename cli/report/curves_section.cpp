// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "cli/report/page.h"
#include "cli/ui/format.h"

namespace pollard::cli::report {
namespace {

struct Point {
  double x = 0, y = 0;  ///< both shares of 1
  std::string label;
};
using Line = std::vector<Point>;

/// A plot of 100 by 60 with room around it for ticks when it is large.
struct Plot {
  double left, top, width, height;
  double x(double share) const { return left + width * std::clamp(share, 0.0, 1.0); }
  double y(double share) const { return top + height * (1 - std::clamp(share, 0.0, 1.0)); }
};

void draw_line(Html& html, const Plot& plot, const Line& line, const std::string& kind, bool dots) {
  std::string points;
  for (const Point& p : line) points += fmt::format("{:.1f},{:.1f} ", plot.x(p.x), plot.y(p.y));
  html.leaf("polyline", {{"class", "line " + kind}, {"points", points}});
  for (const Point& p : line) {
    if (!dots) continue;
    html.open("circle", {{"class", "dot " + kind},
                         {"cx", fmt::format("{:.1f}", plot.x(p.x))},
                         {"cy", fmt::format("{:.1f}", plot.y(p.y))},
                         {"r", "3.5"}});
    html.element("title", p.label).close();
  }
}

void grid(Html& html, const Plot& plot, double top, const char* vertical) {
  for (int quarter = 0; quarter <= 4; ++quarter) {
    const double share = quarter / 4.0;
    const std::string y = fmt::format("{:.1f}", plot.y(share)), x = fmt::format("{:.1f}", plot.x(share));
    html.leaf("line", {{"class", "grid"},
                       {"x1", fmt::format("{:.1f}", plot.left)},
                       {"y1", y},
                       {"x2", fmt::format("{:.1f}", plot.left + plot.width)},
                       {"y2", y}});
    html.element(
        "text", fmt::format("{:.3g} %", 100 * share * top),
        {{"x", fmt::format("{:.1f}", plot.left - 8)}, {"y", y}, {"dy", "4"}, {"text-anchor", "end"}});
    html.element(
        "text", fmt::format("{} %", 25 * quarter),
        {{"x", x}, {"y", fmt::format("{:.1f}", plot.top + plot.height + 18)}, {"text-anchor", "middle"}});
  }
  html.element("text", vertical, {{"x", "0"}, {"y", "12"}});
  html.element("text", "MACs left",
               {{"x", fmt::format("{:.1f}", plot.left + plot.width)},
                {"y", fmt::format("{:.1f}", plot.top + plot.height + 38)},
                {"text-anchor", "end"}});
}

void trade_off(Html& html, const Json& document) {
  const Json& points = document["trade_off"];
  if (!points.is_array()) return;
  const bool measured = points[0].contains("error_repaired");
  double top = measured ? 1e-4 : 1;
  Line sliced, repaired, parameters;
  for (const Json& p : points)
    if (measured) top = std::max(top, std::min(1.0, p["error_repaired"].get<double>() * 1.1));
  for (const Json& p : points) {
    const double macs = p["macs"].get<double>() / std::max(1.0, p["macs_before"].get<double>());
    const double share = p["parameters"].get<double>() / std::max(1.0, p["parameters_before"].get<double>());
    const std::string label =
        fmt::format("{:.0f} % of the units removed: {:.1f} % of the MACs, {:.1f} % of the parameters",
                    100 * p["ratio"].get<double>(), 100 * macs, 100 * share);
    if (measured) sliced.push_back({macs, p["error_sliced"].get<double>() / top, label});
    if (measured) repaired.push_back({macs, p["error_repaired"].get<double>() / top, label});
    parameters.push_back({macs, share, label});
  }
  html.element("h3", "Trade-off");
  html.element("p",
               measured
                   ? "Squared error of the outputs relative to their variance, against the MACs that stay: "
                     "as sliced (dashed) and repaired (solid). Values above the scale lie on its edge."
                   : "Parameters that stay against MACs that stay, one point a ratio; ringed, this plan. "
                     "With --calib, plan "
                     "--sweep measures errors too.",
               {{"class", "lead"}});
  const Plot plot{.left = 56, .top = 30, .width = 560, .height = 220};
  html.open("svg",
            {{"class", "chart"}, {"viewBox", "0 0 640 296"}, {"role", "img"}, {"aria-label", "trade-off"}});
  grid(html, plot, top, measured ? "output error" : "parameters left");
  if (measured) draw_line(html, plot, sliced, "b", true);
  draw_line(html, plot, measured ? repaired : parameters, "a", true);
  const Json& after = document["cost"]["after"];
  if (!measured && !after.is_null()) {
    const auto share = [&](const char* key) {
      return after[key].get<double>() / std::max(1.0, document["cost"]["before"][key].get<double>());
    };
    html.open("circle", {{"class", "ring"},
                         {"cx", fmt::format("{:.1f}", plot.x(share("macs")))},
                         {"cy", fmt::format("{:.1f}", plot.y(share("parameters")))},
                         {"r", "7"}});
    html.element("title", "this plan").close();
  }
  html.close();
}

/// A little plot of its own for every group, on one scale.
void multiples(Html& html, const Json& groups, double top,
               const std::vector<std::pair<const char*, const char*>>& lines) {
  html.open("div", {{"class", "multiples"}});
  for (const Json& group : groups) {
    const double units = std::max(1.0, group["units"].get<double>());
    html.open("figure").open("figcaption");
    group_chip(html, group["group"].get<std::string>());
    html.element("span", " " + format_count(group["units"].get<std::int64_t>()), {{"class", "muted"}})
        .close();
    const Plot plot{.left = 1, .top = 2, .width = 98, .height = 46};
    html.open("svg", {{"class", "small"},
                      {"viewBox", "0 0 100 50"},
                      {"role", "img"},
                      {"aria-label", "curve of " + group["group"].get<std::string>()}});
    html.leaf("path", {{"class", "frame"}, {"d", "M1 2V48H99"}});
    for (const auto& [key, kind] : lines) {
      Line line;
      for (const Json& p : group["points"])
        line.push_back({p["removed"].get<double>() / units, p[key].get<double>() / top, ""});
      draw_line(html, plot, line, kind, false);
    }
    html.close().close();
  }
  html.close();
}

void criterion(Html& html, const Json& part) {
  if (!part.is_object() || part["groups"].empty()) return;
  html.element("h3", "Sensitivity by the criterion");
  html.element(
      "p",
      fmt::format("Share of a group's {} scores that goes (up) with a share of its units (right), least "
                  "important first. A curve that stays low long has units to give.",
                  part["name"].get<std::string>()),
      {{"class", "lead"}});
  multiples(html, part["groups"], 1, {{"lost", "a"}});
}

void sensitivity(Html& html, const Json& part) {
  if (!part.is_array()) return;
  double top = 1e-4;
  for (const Json& group : part)
    for (const Json& p : group["points"]) top = std::max(top, std::min(1.0, p["repaired"].get<double>()));
  html.element("h3", "Sensitivity, measured");
  html.element(
      "p",
      fmt::format("Each group pruned alone: squared error of the outputs relative to their variance (up, "
                  "to {:.3g} %) against the share of its units removed (right), as sliced (dashed) and "
                  "repaired (solid).",
                  100 * top),
      {{"class", "lead"}});
  multiples(html, part, top, {{"sliced", "b"}, {"repaired", "a"}});
}

}  // namespace

void curves_section(Html& html, const Json& document) {
  const bool any = document["trade_off"].is_array() || document["sensitivity"].is_array() ||
                   document["criterion"].is_object();
  if (!any) return;
  open_section(html, "curves", "Curves", "What other budgets would have cost, and which groups can give.");
  trade_off(html, document);
  sensitivity(html, document["sensitivity"]);
  criterion(html, document["criterion"]);
  html.close();
}

}  // namespace pollard::cli::report
