// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "cli/report/lanes.h"
#include "cli/report/page.h"
#include "cli/ui/text.h"

namespace pollard::cli::report {
namespace {

constexpr double kRow = 26, kTop = 16, kLeft = 14;
constexpr std::size_t kChips = 3, kNames = 24;
constexpr int kTextWidth = 92;  ///< columns of a row's text

struct Layout {
  Lanes lanes;
  double pitch = 16, chips = 0, chip = 38, text = 0, width = 0, height = 0;
  double x(std::size_t node) const { return kLeft + pitch * lanes.lane[node]; }
  static double y(std::size_t node) { return kTop + kRow * static_cast<double>(node); }
};

Layout lay_out(const Json& nodes) {
  std::vector<std::vector<std::int32_t>> reads;
  std::size_t most_chips = 0, longest = 0;
  for (const Json& node : nodes) {
    reads.emplace_back();
    for (const Json& read : node["reads"]) reads.back().push_back(read["node"].get<std::int32_t>());
    most_chips = std::max(most_chips, std::min(kChips, node["groups"].size()));
    for (const Json& group : node["groups"])
      longest = std::max(longest, group.get_ref<const std::string&>().size());
  }
  Layout out{.lanes = assign_lanes(reads)};
  out.pitch = std::clamp(200.0 / std::max(1, out.lanes.count), 3.0, 16.0);
  out.chips = kLeft + out.pitch * out.lanes.count + 8;
  out.chip = 17 + 7.0 * static_cast<double>(longest);
  out.text = out.chips + (out.chip + 4) * static_cast<double>(most_chips) + 8;
  out.width = out.text + 7.0 * kTextWidth;
  out.height = kTop * 2 + kRow * static_cast<double>(nodes.size());
  return out;
}

std::string classes(const char* own, const Json& groups) {
  std::string out = own;
  for (const Json& group : groups) out += " g-" + group.get<std::string>();
  return out;
}

/// Down the lane of what is read, then over to the reader.
void edge(Html& html, const Layout& l, std::size_t from, std::size_t to, const Json& groups) {
  const double x1 = l.x(from), y1 = l.y(from), x2 = l.x(to), y2 = l.y(to);
  std::string path = fmt::format("M{:.4g} {:.5g}V{:.5g}", x1, y1, x1 == x2 ? y2 : y2 - kRow);
  if (x1 != x2)
    path += fmt::format("C{:.4g} {:.5g} {:.4g} {:.5g} {:.4g} {:.5g}", x1, y2 - kRow / 3, x2, y2 - kRow / 1.5,
                        x2, y2);
  html.leaf("path", {{"class", classes("e", groups) +
                                   (groups.empty() ? "" : " " + colour_class(groups[0].get<std::string>()))},
                     {"d", path}});
}

std::string row_text(const Json& node) {
  const std::string before = node["before"].get<std::string>(), after = node["after"].get<std::string>();
  const int ops = node["ops"].get<int>();
  const std::string module = node["module"].get<std::string>();
  std::vector<std::string> parts{ops > 1 ? fmt::format("{} operations", ops) : node["op"].get<std::string>(),
                                 module.empty() ? node["name"].get<std::string>() : module,
                                 after == before ? before : before + " \u2192 " + after};
  std::erase(parts, "");
  return join(parts, "  ");
}

std::string title(const Json& node) {
  std::string out = node["name"].get<std::string>();
  const Json& parameters = node["parameters"];
  if (!parameters.empty()) out += " reads";
  for (std::size_t i = 0; i < parameters.size() && i < kNames; ++i)
    out += (i == 0 ? " " : ", ") + parameters[i].get<std::string>();
  if (parameters.size() > kNames) out += fmt::format(" and {} more", parameters.size() - kNames);
  return out;
}

void node_row(Html& html, const Layout& l, const Json& node, std::size_t at) {
  const Json& groups = node["groups"];
  const std::string y = fmt::format("{:.5g}", l.y(at));
  html.open("g", {{"class", classes("r", groups)}, {"id", fmt::format("n{}", at)}});
  html.element("title", title(node));
  html.leaf("circle", {{"class", groups.empty() ? "n" : "n " + colour_class(groups[0].get<std::string>())},
                       {"cx", fmt::format("{:.4g}", l.x(at))},
                       {"cy", y},
                       {"r", node["parameters"].empty() ? "3.5" : "5.5"}});
  for (std::size_t i = 0; i < groups.size() && i < kChips; ++i) {
    const std::string group = groups[i].get<std::string>();
    const double x = l.chips + (l.chip + 4) * static_cast<double>(i);
    html.open("a", {{"class", "gc " + colour_class(group)}, {"href", "#" + group}, {"data-group", group}});
    html.leaf("rect", {{"x", fmt::format("{:.5g}", x)},
                       {"y", fmt::format("{:.5g}", l.y(at) - 8)},
                       {"width", fmt::format("{:.4g}", l.chip)},
                       {"height", "16"},
                       {"rx", "8"}});
    html.element(
        "text", i + 1 == kChips && groups.size() > kChips ? fmt::format("+{}", groups.size() - i) : group,
        {{"x", fmt::format("{:.5g}", x + l.chip / 2)}, {"y", y}, {"dy", "4"}, {"text-anchor", "middle"}});
    html.close();
  }
  html.element("text", cut_middle(printable(row_text(node)), kTextWidth),
               {{"class", "t"}, {"x", fmt::format("{:.5g}", l.text)}, {"y", y}, {"dy", "4"}});
  html.close();
}

void tools(Html& html) {
  html.open("div", {{"class", "tools"}, {"id", "tools"}, {"hidden", ""}});
  html.leaf("input", {{"type", "search"},
                      {"id", "find"},
                      {"placeholder", "Find an operation or parameter"},
                      {"aria-label", "Find in the graph"}});
  html.element("output", "", {{"id", "found"}, {"for", "find"}});
  html.element("button", "\u2212", {{"type", "button"}, {"id", "smaller"}, {"aria-label", "Zoom out"}});
  html.element("button", "+", {{"type", "button"}, {"id", "larger"}, {"aria-label", "Zoom in"}});
  html.element("button", "Whole graph", {{"type", "button"}, {"id", "whole"}});
  html.element("button", "Clear", {{"type", "button"}, {"id", "clear"}});
  html.close();
}

}  // namespace

void network_section(Html& html, const Json& document) {
  const Json& nodes = document["network"]["nodes"];
  const std::string collapsed = document["network"]["collapsed"].get<std::string>();
  open_section(
      html, "graph", "Graph",
      "One row an operation, in the order they run; a line leads from what makes a tensor to what reads it, "
      "in the colour of a group that runs along it. Large dots hold parameters." +
          (collapsed.empty() ? "" : " " + collapsed + "."));
  tools(html);
  const Layout l = lay_out(nodes);
  html.open("div", {{"class", "net"},
                    {"id", "net"},
                    {"tabindex", "0"},
                    {"role", "region"},
                    {"aria-label", "The network"}});
  html.open("svg", {{"viewBox", fmt::format("0 0 {:.6g} {:.6g}", l.width, l.height)},
                    {"width", fmt::format("{:.6g}", l.width)},
                    {"height", fmt::format("{:.6g}", l.height)}});
  html.open("g", {{"class", "edges"}});
  for (std::size_t at = 0; at < nodes.size(); ++at)
    for (const Json& read : nodes[at]["reads"])
      edge(html, l, read["node"].get<std::size_t>(), at, read["groups"]);
  html.close();
  for (std::size_t at = 0; at < nodes.size(); ++at) node_row(html, l, nodes[at], at);
  html.close().close().close();
}

}  // namespace pollard::cli::report
