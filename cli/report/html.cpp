// SPDX-License-Identifier: Apache-2.0
#include "cli/report/html.h"

#include "cli/ui/text.h"
#include "graph/error.h"

namespace pollard::cli::report {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

void Html::tag(std::string_view name, Attributes attributes, std::string_view end) {
  text_.append("<").append(name);
  for (const auto& [key, value] : attributes)
    text_.append(" ").append(key).append("=\"").append(escaped(value)).append("\"");
  text_.append(end);
}

Html& Html::open(std::string_view name, Attributes attributes) {
  tag(name, attributes, ">");
  open_.emplace_back(name);
  return *this;
}

Html& Html::close() {
  POLLARD_CHECK(!open_.empty(), "no element is open");
  text_.append("</").append(open_.back()).append(">");
  open_.pop_back();
  return *this;
}

Html& Html::text(std::string_view content) {
  text_ += escaped(content);
  return *this;
}

Html& Html::element(std::string_view name, std::string_view content, Attributes attributes) {
  return open(name, attributes).text(content).close();
}

Html& Html::leaf(std::string_view name, Attributes attributes) {
  tag(name, attributes, "/>");
  return *this;
}

std::string Html::finish() {
  POLLARD_CHECK(open_.empty(), "an element is still open: " + (open_.empty() ? "" : open_.back()));
  return std::move(text_);
}

}  // namespace pollard::cli::report
