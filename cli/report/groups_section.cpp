// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/report/page.h"
#include "cli/ui/format.h"
#include "cli/ui/text.h"

namespace pollard::cli::report {
namespace {

constexpr std::int64_t kBins = 96;
constexpr std::size_t kMembers = 100;  ///< rows of a table

std::string shape_text(const Json& shape) {
  std::vector<std::string> sizes;
  for (const Json& size : shape) sizes.push_back(std::to_string(size.get<std::int64_t>()));
  return join(sizes, "\u00d7");
}

/// Which units stay, by index: the height of each bin is the share of its units that do.
void units_strip(Html& html, std::int64_t units, const Json& removed) {
  const std::int64_t bins = std::max<std::int64_t>(1, std::min(units, kBins));
  std::vector<std::int64_t> gone(static_cast<std::size_t>(bins), 0), all(gone);
  for (std::int64_t unit = 0; unit < units; ++unit) ++all[static_cast<std::size_t>(unit * bins / units)];
  for (const Json& unit : removed) ++gone[static_cast<std::size_t>(unit.get<std::int64_t>() * bins / units)];
  std::string path;
  for (std::size_t bin = 0; bin < gone.size(); ++bin) {
    const double kept = 1 - static_cast<double>(gone[bin]) / static_cast<double>(all[bin]);
    if (kept > 0) path += fmt::format("M{} 1v{:.3g}h1V1z", bin, -kept);
  }
  html.open("svg", {{"class", "units"},
                    {"viewBox", fmt::format("0 0 {} 1", bins)},
                    {"preserveAspectRatio", "none"},
                    {"role", "img"},
                    {"aria-label", "which units stay"}});
  html.leaf("rect", {{"class", "off"}, {"width", std::to_string(bins)}, {"height", "1"}});
  html.leaf("path", {{"class", "on"}, {"d", path}}).close();
}

void why_coupled(Html& html, const Json& group) {
  html.open("p").element("strong", "Coupled by ");
  bool first = true;
  for (const Json& kind : group["couplings"]) {
    if (!first) html.text(", ");
    html.element("code", kind["op"].get<std::string>());
    if (kind["count"].get<int>() > 1) html.text(fmt::format(" \u00d7 {}", kind["count"].get<int>()));
    first = false;
  }
  html.text(first ? "nothing: one dimension alone."
                  : ": these operations need the dimensions below to agree, unit by unit.");
  html.close();
}

void members(Html& html, const Json& group) {
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr");
  for (const char* column : {"member", "shape"}) html.element("th", column);
  for (const char* column : {"dim", "rows a unit"}) html.element("th", column, {{"class", "number"}});
  html.element("th", "made of").close().close().open("tbody");
  std::size_t shown = 0;
  for (const Json& member : group["members"]) {
    if (++shown > kMembers) break;
    html.open("tr").element("td", member["name"].get<std::string>(), {{"class", "mono name"}});
    html.element("td", shape_text(member["shape"]), {{"class", "mono"}});
    html.element("td", std::to_string(member["dim"].get<int>()), {{"class", "number"}});
    html.element("td", format_count(member["rows_per_unit"].get<std::int64_t>()), {{"class", "number"}});
    html.element("td", member["term"].get<std::string>(), {{"class", "mono"}}).close();
  }
  html.close().close().close();
  if (group["members"].size() > kMembers)
    html.element("p", fmt::format("and {} more.", format_count(std::ssize(group["members"]) -
                                                               static_cast<std::ptrdiff_t>(kMembers))));
}

void group_entry(Html& html, const Json& group, bool planned) {
  const std::string id = group["id"].get<std::string>();
  const auto units = group["size"].get<std::int64_t>();
  const auto removed = static_cast<std::int64_t>(group["removed"].size());
  html.open("details", {{"class", "group"}, {"id", id}, {"data-group", id}}).open("summary");
  html.element("span", id, {{"class", "chip " + colour_class(id)}});
  html.element("span",
               planned ? fmt::format("{} \u2192 {}", format_count(units), format_count(units - removed))
                       : fmt::format("{} units", format_count(units)),
               {{"class", "size"}});
  if (planned) units_strip(html, units, group["removed"]);
  html.element("span", group["members"].empty() ? "" : group["members"][0]["name"].get<std::string>(),
               {{"class", "mono first"}});
  html.element("span",
               fmt::format("{}, {} members, {} parameters", group["kind"].get<std::string>(),
                           group["members"].size(), format_short(group["parameters"].get<double>())),
               {{"class", "facts"}});
  html.close();
  html.element("p", fmt::format("{} units of role {}, {}; {} parameters and {} MACs go with the whole group.",
                                units, group["role"].get<std::string>(), group["kind"].get<std::string>(),
                                format_short(group["parameters"].get<double>()),
                                format_short(group["macs"].get<double>())));
  const std::string whole = group["kept_whole"].get<std::string>();
  if (planned && !whole.empty()) html.element("p", "Kept whole: " + whole + ".");
  why_coupled(html, group);
  members(html, group);
  html.close();
}

/// ": 20 kernel, 12 input, 1 output."
std::string counts(const std::vector<const Json*>& frozen) {
  std::map<std::string, int> by_reason;
  for (const Json* axis : frozen) ++by_reason[(*axis)["why"].get<std::string>()];
  std::vector<std::string> parts;
  for (const auto& [reason, count] : by_reason) parts.push_back(fmt::format("{} {}", count, reason));
  return parts.empty() ? "." : ": " + join(parts, ", ") + ".";
}

}  // namespace

void groups_section(Html& html, const Json& document) {
  const Json& groups = document["groups"];
  const bool planned = !document["plan"].is_null();
  open_section(
      html, "groups", "Groups",
      fmt::format("{} sets of parameters that shrink together: removing unit i of a group takes its slab out "
                  "of every member. {}",
                  groups.size(), planned ? "The strip shows which units stay." : ""));
  for (const Json& group : groups) group_entry(html, group, planned);
  if (groups.empty()) html.element("p", "Nothing in this network can shrink: see below for the reasons.");
  html.close();
}

void frozen_section(Html& html, const Json& document) {
  const Json& frozen = document["frozen"];
  std::vector<const Json*> shown;
  for (const Json& axis : frozen)
    if (!axis["members"].empty()) shown.push_back(&axis);
  open_section(
      html, "frozen", "Frozen",
      fmt::format("{} dimensions of parameters must keep all their units{}", shown.size(), counts(shown)));
  shown.size() > 12 ? html.open("details") : html.open("details", {{"open", ""}});
  html.element("summary", "All of them with their reasons");
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr");
  html.element("th", "units", {{"class", "number"}}).element("th", "reason").element("th", "members");
  html.close().close().open("tbody");
  for (const Json* axis : shown) {
    const Json& members = (*axis)["members"];
    html.open("tr").element("td", format_count((*axis)["size"].get<std::int64_t>()), {{"class", "number"}});
    html.element("td", (*axis)["reason"].get<std::string>());
    html.open("td", {{"class", "mono name"}});
    for (std::size_t i = 0; i < members.size() && i < 4; ++i) {
      if (i > 0) html.leaf("br");
      html.text(fmt::format("{}:{}", members[i]["name"].get<std::string>(), members[i]["dim"].get<int>()));
    }
    if (members.size() > 4) html.leaf("br").text(fmt::format("and {} more", members.size() - 4));
    html.close().close();
  }
  html.close().close().close().close().close();
}

}  // namespace pollard::cli::report
