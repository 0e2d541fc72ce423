// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/report/page.h"
#include "cli/ui/format.h"

namespace pollard::cli::report {
namespace {

constexpr std::size_t kKinds = 14, kOps = 40;

struct Row {
  std::string name, module;
  double before = 0, after = 0;
  int ops = 0;
};

void add(Row& row, const Json& op) {
  row.before += number_or(op["before"], 0);
  row.after += number_or(op["after"], 0);
  ++row.ops;
}

/// By kind of op, slowest first; what is beyond the most is one row "others".
std::vector<Row> by_kind(const Json& ops) {
  std::map<std::string, Row> kinds;
  for (const Json& op : ops) {
    Row& row = kinds[op["op"].get<std::string>()];
    row.name = op["op"].get<std::string>();
    add(row, op);
  }
  std::vector<Row> rows;
  for (auto& [kind, row] : kinds) rows.push_back(std::move(row));
  std::ranges::stable_sort(rows, std::greater(), [](const Row& r) { return r.before + r.after; });
  while (rows.size() > kKinds) {
    Row last = std::move(rows.back());
    rows.pop_back();
    Row& rest = rows.back();
    rest = {"others", "", rest.before + last.before, rest.after + last.after, rest.ops + last.ops};
  }
  return rows;
}

std::vector<Row> slowest(const Json& ops) {
  std::vector<Row> rows;
  for (const Json& op : ops) {
    rows.push_back({op["name"].get<std::string>(), op["module"].get<std::string>()});
    add(rows.back(), op);
  }
  std::ranges::stable_sort(rows, std::greater(), [](const Row& r) { return std::max(r.before, r.after); });
  rows.resize(std::min(rows.size(), kOps));
  return rows;
}

std::string seconds(double value) { return value > 0 ? format_seconds(value) : "-"; }

void bars(Html& html, double before, double after, double longest, bool pair) {
  const auto width = [&](double value) {
    return fmt::format("{:.2f}", longest > 0 ? 100 * value / longest : 0);
  };
  html.open("td", {{"class", "bar"}})
      .open("svg", {{"class", "meter two"}, {"viewBox", "0 0 100 12"}, {"preserveAspectRatio", "none"}});
  html.leaf("rect", {{"class", pair ? "off" : "on"}, {"width", width(before)}, {"height", pair ? "5" : "9"}});
  if (pair) html.leaf("rect", {{"class", "on"}, {"y", "6"}, {"width", width(after)}, {"height", "5"}});
  html.close().close();
}

void table(Html& html, const std::vector<Row>& rows, bool pair, bool kinds, const char* after) {
  double longest = 0;
  for (const Row& row : rows) longest = std::max({longest, row.before, row.after});
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr").element("th", "operation");
  html.element("th", kinds ? "calls" : "module", {{"class", kinds ? "number" : ""}});
  html.element("th", pair ? "dense" : "time", {{"class", "number"}});
  if (pair) html.element("th", after, {{"class", "number"}});
  html.element("th", "").close().close().open("tbody");
  for (const Row& row : rows) {
    html.open("tr").element("td", row.name, {{"class", "mono name"}});
    if (kinds)
      html.element("td", std::to_string(row.ops), {{"class", "number"}});
    else
      html.element("td", row.module, {{"class", "mono name"}});
    html.element("td", seconds(row.before), {{"class", "number"}});
    if (pair) html.element("td", seconds(row.after), {{"class", "number"}});
    bars(html, row.before, row.after, longest, pair);
    html.close();
  }
  html.close().close().close();
}

}  // namespace

void latency_section(Html& html, const Json& document) {
  const Json& latency = document["latency"];
  if (latency.is_null()) return;
  const Json& ops = latency["ops"];
  const bool pair = std::ranges::any_of(ops, [](const Json& op) { return op["after"].is_number(); });
  double before = 0, after = 0;
  for (const Json& op : ops) before += number_or(op["before"], 0), after += number_or(op["after"], 0);
  std::string total =
      pair ? fmt::format("{} before, {} after ({}x)", format_seconds(before), format_seconds(after),
                         format_fixed(after > 0 ? before / after : 0, 2))
           : format_seconds(before);
  open_section(
      html, "latency", "Latency",
      fmt::format("Where the time goes on this machine at the example input: {}. The shortest of {} runs of "
                  "every operation, one at a time; pollard bench measures whole networks.",
                  total, latency["runs"].get<int>()));
  const char* smaller = document["plan"].is_null() ? "after" : "pruned";
  table(html, by_kind(ops), pair, true, smaller);
  html.open("details").element("summary", "The slowest operations");
  table(html, slowest(ops), pair, false, smaller);
  html.close().close();
}

}  // namespace pollard::cli::report
