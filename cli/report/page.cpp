// SPDX-License-Identifier: Apache-2.0
#include "cli/report/page.h"

#include <fmt/format.h>
#include <cstdlib>

namespace pollard::cli::report {
namespace {

constexpr int kColours = 10;  ///< as many as style.inc has

constexpr const char kStyle[] =
#include "cli/report/style.inc"
    ;
constexpr const char kScript[] =
#include "cli/report/script.inc"
    ;

std::string title_of(const Json& document) {
  const Json& output = document["files"]["output"];
  return output.is_null() ? document["model"]["file"].get<std::string>() : output.get<std::string>();
}

void head(Html& html, const Json& document) {
  html.constant("<!doctype html>\n");
  html.open("html", {{"lang", "en"}}).open("head").leaf("meta", {{"charset", "utf-8"}});
  html.leaf("meta",
            {{"http-equiv", "Content-Security-Policy"},
             {"content", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"}});
  html.leaf("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}});
  html.leaf("meta", {{"name", "color-scheme"}, {"content", "light dark"}});
  html.element("title", title_of(document) + " - pollard");
  html.open("style").constant(kStyle).close().close();
}

void contents(Html& html, const Json& document) {
  const bool curves = !document["trade_off"].is_null() || !document["sensitivity"].is_null() ||
                      !document["criterion"].is_null();
  html.open("nav", {{"aria-label", "Sections"}});
  html.element("a", "Summary", {{"href", "#summary"}});
  html.element("a", "Widths", {{"href", "#widths"}});
  html.element("a", "Groups", {{"href", "#groups"}});
  html.element("a", "Frozen", {{"href", "#frozen"}});
  if (curves) html.element("a", "Curves", {{"href", "#curves"}});
  if (!document["latency"].is_null()) html.element("a", "Latency", {{"href", "#latency"}});
  html.element("a", "Graph", {{"href", "#graph"}});
  html.element("a", "Run", {{"href", "#run"}});
  html.close();
}

}  // namespace

void open_section(Html& html, const std::string& id, const std::string& heading, const std::string& lead) {
  html.open("section", {{"id", id}}).element("h2", heading);
  if (!lead.empty()) html.element("p", lead, {{"class", "lead"}});
}

std::string colour_class(const std::string& group) {
  const int number = group.empty() ? 0 : std::atoi(group.c_str() + 1);
  return fmt::format("c{}", number % kColours);
}

void group_chip(Html& html, const std::string& id) {
  if (!id.empty()) html.element("a", id, {{"class", "chip " + colour_class(id)}, {"href", "#" + id}});
}

double number_or(const Json& value, double otherwise) {
  return value.is_number() ? value.get<double>() : otherwise;
}

std::string page(const Json& document) {
  Html html;
  head(html, document);
  html.open("body").open("header");
  html.element("p", document["tool"].get<std::string>() + ", " + document["command"].get<std::string>(),
               {{"class", "eyebrow"}});
  html.element("h1", title_of(document)).close();
  contents(html, document);
  html.open("main");
  summary_section(html, document);
  layers_section(html, document);
  groups_section(html, document);
  frozen_section(html, document);
  curves_section(html, document);
  latency_section(html, document);
  network_section(html, document);
  run_section(html, document);
  html.close().open("script").constant(kScript).close().close().close();
  return html.finish();
}

}  // namespace pollard::cli::report
