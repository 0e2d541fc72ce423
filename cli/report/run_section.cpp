// SPDX-License-Identifier: Apache-2.0
#include "cli/report/page.h"

namespace pollard::cli::report {
namespace {

void options(Html& html, const Json& options, bool set) {
  html.open("div", {{"class", "scroll"}}).open("table").open("thead").open("tr");
  for (const char* column : {"option", "value", "from"}) html.element("th", column);
  html.close().close().open("tbody");
  for (const Json& option : options) {
    if ((option["source"] != "default") != set) continue;
    html.open("tr").element("td", option["name"].get<std::string>(), {{"class", "mono"}});
    html.element("td", option["value"].get<std::string>(), {{"class", "mono name"}});
    html.element("td", option["source"].get<std::string>()).close();
  }
  html.close().close().close();
}

}  // namespace

void run_section(Html& html, const Json& document) {
  open_section(html, "run", "Run", "The options in force and the versions that made this, to do it again.");
  html.element("h3", "Options that were set");
  options(html, document["options"], true);
  html.open("details").element("summary", "Options at their defaults");
  options(html, document["options"], false);
  html.close().element("h3", "Versions").open("dl");
  for (const auto& [name, value] : document["versions"].items())
    html.element("dt", name).element("dd", value.get<std::string>());
  html.element("dt", "input SHA-256")
      .element("dd", document["model"]["sha256"].get<std::string>(), {{"class", "mono"}});
  html.close().close();
}

}  // namespace pollard::cli::report
