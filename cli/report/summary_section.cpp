// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/report/page.h"
#include "cli/ui/format.h"

namespace pollard::cli::report {
namespace {

std::string count_text(double value) { return format_count(static_cast<std::int64_t>(value)); }

struct Figure {
  const char* name;
  const char* key;
  std::string (*shown)(double);
  std::string (*exact)(double);
};
const Figure kFigures[] = {{"Parameters", "parameters", format_short, count_text},
                           {"MACs", "macs", format_short, count_text},
                           {"Weights", "weight_bytes", format_bytes, format_bytes},
                           {"Activations", "activation_bytes", format_bytes, format_bytes}};

void card(Html& html, const Figure& figure, double before, const Json& after) {
  html.open("div", {{"class", "card"}}).element("h3", figure.name);
  if (after.is_null()) {
    html.element("p", figure.shown(before), {{"class", "big"}}).close();
    return;
  }
  const double now = after.get<double>();
  html.open("p", {{"class", "big"}}).text(figure.shown(now));
  html.element("small", " of " + figure.shown(before)).close();
  html.open("svg", {{"class", "meter"},
                    {"viewBox", "0 0 100 6"},
                    {"preserveAspectRatio", "none"},
                    {"role", "img"},
                    {"aria-label", format_change(before, now)}});
  html.leaf("rect", {{"class", "off"}, {"width", "100"}, {"height", "6"}});
  html.leaf("rect", {{"class", "on"},
                     {"width", fmt::format("{:.2f}", before > 0 ? 100 * now / before : 100)},
                     {"height", "6"}});
  html.close().element("p", format_change(before, now), {{"class", "change"}}).close();
}

void table(Html& html, const Json& document) {
  const Json &before = document["cost"]["before"], &after = document["cost"]["after"];
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr").element("th", "");
  for (const char* column : {"before", "after", "change"}) html.element("th", column, {{"class", "number"}});
  html.close().close().open("tbody");
  const auto row = [&](const std::string& name, const std::string& from, const std::string& to,
                       const std::string& change) {
    html.open("tr").element("th", name, {{"scope", "row"}});
    for (const std::string& cell : {from, to, change}) html.element("td", cell, {{"class", "number"}});
    html.close();
  };
  for (const Figure& figure : kFigures) {
    const double from = before[figure.key].get<double>(), to = after[figure.key].get<double>();
    row(figure.name, figure.exact(from), figure.exact(to),
        std::string(figure.key) == "macs" ? format_fewer(from, to) : format_change(from, to));
  }
  const Json& files = document["files"];
  if (files["output_bytes"].is_number()) {
    const double from = files["input_bytes"].get<double>(), to = files["output_bytes"].get<double>();
    row("File", format_bytes(from), format_bytes(to), format_change(from, to));
  }
  html.close().close().close();
}

void verdict(Html& html, const Json& document) {
  const Json& v = document["verify"];
  if (v.is_null()) {
    if (document["command"] == "prune")
      html.element("p", "Not verified: the proof against the masked original was skipped.",
                   {{"id", "verification"}});
    return;
  }
  const bool ok = v["ok"].get<bool>();
  html.open("p", {{"class", ok ? "verdict ok" : "verdict bad"}, {"id", "verification"}});
  html.element("strong", ok ? "Verified." : "FAILED.");
  html.text(
      fmt::format(" The smaller network and the masked original differ by at most {} of the output, in f64, "
                  "over {} inputs (allowed {}); the mask itself changed it by {:.3g} times its size.",
                  format_scientific(v["max_relative"].get<double>()), v["inputs"].get<int>(),
                  format_scientific(v["tolerance"].get<double>()), v["change"].get<double>()));
  if (v["renormalised"].get<bool>())
    html.text(" Norms and means run over the kept units, as renormalised groups are defined.");
  html.close();
}

void plan_list(Html& html, const Json& document) {
  const Json& plan = document["plan"];
  if (plan.is_null()) return;
  const auto item = [&](const char* name, const std::string& value) {
    if (!value.empty()) html.element("dt", name).element("dd", value);
  };
  html.element("h3", "Plan", {{"id", "plan"}}).open("dl");
  item("target", plan["target"].get<std::string>());
  item("method", plan["method"].get<std::string>());
  item("removed", fmt::format("{} of {} units", format_count(plan["removed"].get<std::int64_t>()),
                              format_count(plan["units"].get<std::int64_t>())));
  if (plan["steps"].get<int>() > 1)
    item("steps",
         fmt::format("the last of {}: figures compare with the network before it", plan["steps"].get<int>()));
  if (document["repair"].is_string()) item("repair", document["repair"].get<std::string>());
  for (const Json& note : plan["notes"]) item("scored", note.get<std::string>());
  for (const Json& warning : plan["warnings"]) item("warning", warning.get<std::string>());
  if (plan["sha256"].is_string()) item("plan SHA-256", plan["sha256"].get<std::string>());
  html.close();
}

std::string lead(const Json& document) {
  const Json& model = document["model"];
  std::string out = model["file"].get<std::string>();
  if (!model["family"].get<std::string>().empty()) out += ", a " + model["family"].get<std::string>();
  return out + fmt::format(": {} operations on inputs of {}.", format_count(model["ops"].get<std::int64_t>()),
                           model["inputs"].get<std::string>());
}

}  // namespace

void summary_section(Html& html, const Json& document) {
  open_section(html, "summary", "Summary", lead(document));
  const Json& after = document["cost"]["after"];
  html.open("div", {{"class", "cards"}});
  for (const Figure& figure : kFigures)
    card(html, figure, document["cost"]["before"][figure.key].get<double>(),
         after.is_null() ? Json() : after[figure.key]);
  html.close();
  verdict(html, document);
  if (!after.is_null()) table(html, document);
  plan_list(html, document);
  html.close();
}

}  // namespace pollard::cli::report
