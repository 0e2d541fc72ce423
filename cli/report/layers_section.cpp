// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/report/page.h"
#include "cli/ui/format.h"

namespace pollard::cli::report {
namespace {

constexpr double kHeight = 120;

/// Bars, one a layer, in program order; heights by the square root, so that narrow layers show beside wide ones.
void strip(Html& html, const Json& layers) {
  double widest = 1;
  for (const Json& layer : layers) widest = std::max(widest, layer["before"].get<double>());
  const auto height = [&](const Json& width) { return kHeight * std::sqrt(width.get<double>() / widest); };
  html.open("svg", {{"class", "strip"},
                    {"viewBox", fmt::format("0 0 {} {}", layers.size(), kHeight)},
                    {"preserveAspectRatio", "none"},
                    {"role", "img"},
                    {"aria-label", "width of every layer, before and after"}});
  int at = 0;
  for (const Json& layer : layers) {
    const double before = height(layer["before"]), after = height(layer["after"]);
    const std::string group = layer["group"].get<std::string>();
    html.open("a", {{"href", "#L" + std::to_string(at)}});
    html.element("title",
                 fmt::format("{}: {} of {}", layer["parameter"].get<std::string>(),
                             layer["after"].get<std::int64_t>(), layer["before"].get<std::int64_t>()));
    html.leaf("rect", {{"class", "off"},
                       {"x", fmt::format("{:.2f}", at + 0.1)},
                       {"y", fmt::format("{:.1f}", kHeight - before)},
                       {"width", "0.8"},
                       {"height", fmt::format("{:.1f}", before)}});
    html.leaf("rect", {{"class", group.empty() ? "still" : "on"},
                       {"x", fmt::format("{:.2f}", at + 0.1)},
                       {"y", fmt::format("{:.1f}", kHeight - after)},
                       {"width", "0.8"},
                       {"height", fmt::format("{:.1f}", after)}});
    html.close();
    ++at;
  }
  html.close();
}

void row(Html& html, const Json& layer, int at) {
  const auto before = layer["before"].get<std::int64_t>(), after = layer["after"].get<std::int64_t>();
  html.open("tr", {{"id", "L" + std::to_string(at)}});
  html.element("td", layer["parameter"].get<std::string>(), {{"class", "mono name"}});
  html.open("td");
  group_chip(html, layer["group"].get<std::string>());
  html.close().element("td", format_count(before), {{"class", "number"}});
  html.element("td", format_count(after), {{"class", "number"}});
  html.open("td", {{"class", "bar"}});
  html.open("svg", {{"class", "meter"}, {"viewBox", "0 0 100 6"}, {"preserveAspectRatio", "none"}});
  html.leaf("rect", {{"class", "off"}, {"width", "100"}, {"height", "6"}});
  html.leaf("rect",
            {{"class", "on"},
             {"width", fmt::format("{:.1f}", 100.0 * static_cast<double>(after) /
                                                 static_cast<double>(std::max<std::int64_t>(1, before)))},
             {"height", "6"}});
  html.close().close().close();
}

}  // namespace

void layers_section(Html& html, const Json& document) {
  const Json& layers = document["layers"];
  open_section(
      html, "widths", "Widths",
      "Every weight in the order it is used: its output width before (pale) and after (solid); grey cannot "
      "shrink. Heights are square roots.");
  if (!layers.empty()) strip(html, layers);
  html.open("details").element("summary", fmt::format("All {} weights", layers.size()));
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr");
  for (const char* column : {"weight", "group"}) html.element("th", column);
  for (const char* column : {"before", "after"}) html.element("th", column, {{"class", "number"}});
  html.element("th", "kept").close().close().open("tbody");
  int at = 0;
  for (const Json& layer : layers) row(html, layer, at++);
  html.close().close().close().close().close();
}

}  // namespace pollard::cli::report
